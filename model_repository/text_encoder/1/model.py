"""Text encoders in Triton: words to embeddings, for every family of this server."""

from services.runtime.environment import bundles, device_of
from services.runtime.unary_server import UnaryServer
from services.text_encoder.service import TextEncoder


class TritonPythonModel:
    def initialize(self, args):
        self.server = UnaryServer(TextEncoder(bundles(), device_of(args)), cache_bytes=256 << 20)

    def execute(self, requests):
        return self.server.answer(requests)
