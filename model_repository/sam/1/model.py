"""SAM 2 in Triton: regions of a picture from clicks, a box or words, and tracked through a clip."""

from services.runtime.environment import bundle_named, device_of
from services.runtime.unary_server import UnaryServer
from services.sam.service import Sam


class TritonPythonModel:
    def initialize(self, args):
        sam = Sam(bundle_named("sam"), device_of(args))
        self.server = UnaryServer(sam, asks={"forget": sam.forget, "embed": sam.embed})

    def execute(self, requests):
        return self.server.answer(requests)
