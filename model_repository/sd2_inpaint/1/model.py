"""Inpainting behind Triton: fills a hole in latents, a beat per step."""

from services.runtime.stream_server import StreamServer
from services.runtime.metrics import EngineMeter
from services.runtime.environment import bundle_named, device_of, memory_share, precision_of, running_at_once
from services.sd2_inpaint.serve import serve


class TritonPythonModel:
    def initialize(self, args):
        device = device_of(args)
        meter = EngineMeter(args["model_name"])
        bundle = bundle_named("sd2_inpaint")
        limits = {"running": running_at_once(), "share": memory_share()}
        served = serve(bundle, device, precision_of(device), meter, **limits)
        self.server = StreamServer(served.family, served.engine)

    def execute(self, requests):
        self.server.admit(requests)  # replies leave step by step, from the loop's own thread

    def finalize(self):
        self.server.close()  # lets running trajectories finish
