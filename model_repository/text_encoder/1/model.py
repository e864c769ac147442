"""Text encoders behind Triton: words to embeddings, for every family of this server."""

from services.runtime.unary_server import BatchDoor
from services.runtime.environment import bundles, device_of, precision_of
from services.text_encoder.service import TextEncoder


class TritonPythonModel:
    def initialize(self, args):
        device = device_of(args)
        self.door = BatchDoor(TextEncoder(bundles(), device, precision_of(device)), kept_bytes=256 << 20)

    def execute(self, requests):
        return self.door.answer(requests)
