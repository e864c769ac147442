"""SAM 2 behind Triton: regions of a picture from clicks, a box or words, and followed through a clip."""

from services.runtime.unary_server import BatchDoor
from services.runtime.environment import bundle_named, device_of
from services.sam.service import Sam


class TritonPythonModel:
    def initialize(self, args):
        sam = Sam(bundle_named("sam"), device_of(args))
        self.door = BatchDoor(sam, asks={"forget": sam.forget})

    def execute(self, requests):
        return self.door.answer(requests)
