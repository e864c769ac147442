"""VAEs behind Triton: pictures to latents and back, for every family of this server."""

from services.runtime.unary_server import BatchDoor
from services.runtime.environment import bundles, device_of, precision_of
from services.vae.service import Vae


class TritonPythonModel:
    def initialize(self, args):
        device = device_of(args)
        vae = Vae(bundles(), device, precision_of(device))
        # Sources come again with other instructions; latents to decode are new each time.
        self.door = BatchDoor(vae, kept_bytes=256 << 20, kept_for="picture")

    def execute(self, requests):
        return self.door.answer(requests)
