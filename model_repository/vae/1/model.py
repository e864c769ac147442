"""VAEs in Triton: pictures to latents and back, for every family of this server."""

from services.runtime.environment import bundles, device_of
from services.runtime.unary_server import UnaryServer
from services.vae.service import Vae


class TritonPythonModel:
    def initialize(self, args):
        vae = Vae(bundles(), device_of(args))
        # The same picture is edited repeatedly with other instructions; latents to decode are new each time.
        self.server = UnaryServer(vae, cache_bytes=256 << 20, cache_only=("picture", "pixels"))

    def execute(self, requests):
        return self.server.answer(requests)
