"""The gRPC server: our services, standard health and reflection."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from intarsia.v1 import (
    adapters_pb2,
    adapters_pb2_grpc,
    artifacts_pb2,
    artifacts_pb2_grpc,
    editing_pb2,
    editing_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    segmentation_pb2,
    segmentation_pb2_grpc,
)
from orchestrator.api.adapters import Adapters
from orchestrator.api.artifacts import Artifacts
from orchestrator.api.editing import Editing
from orchestrator.api.interceptor import CallInterceptor
from orchestrator.api.jobs import Jobs
from orchestrator.api.malformed_messages import RECEIVED
from orchestrator.api.segmentation import Segmentation

# What needs no model is served from the start; the rest, and the server as a whole, once every model has
# returned its facts.
_AT_ONCE = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in ((artifacts_pb2, "Artifacts"), (jobs_pb2, "Jobs"))
)
_WITH_MODELS = (
    "",
    editing_pb2.DESCRIPTOR.services_by_name["Editing"].full_name,
    segmentation_pb2.DESCRIPTOR.services_by_name["Segmentation"].full_name,
    adapters_pb2.DESCRIPTOR.services_by_name["Adapters"].full_name,
)

_OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVED),
    # Two servers on one port would take turns; better to fail.
    ("grpc.so_reuseport", 0),
    # A client that froze or lost its network is noticed within half a minute, and its observed jobs with it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class Server:
    """Listens, reports its health, and stops."""

    def __init__(
        self,
        artifacts: Artifacts,
        segmentation: Segmentation,
        editing: Editing,
        adapters: Adapters,
        jobs: Jobs,
    ) -> None:
        self._interceptor = CallInterceptor()
        self._server = grpc.aio.server(interceptors=(self._interceptor,), options=_OPTIONS)
        artifacts_pb2_grpc.add_ArtifactsServicer_to_server(artifacts, self._server)
        segmentation_pb2_grpc.add_SegmentationServicer_to_server(segmentation, self._server)
        editing_pb2_grpc.add_EditingServicer_to_server(editing, self._server)
        adapters_pb2_grpc.add_AdaptersServicer_to_server(adapters, self._server)
        jobs_pb2_grpc.add_JobsServicer_to_server(jobs, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_AT_ONCE, *_WITH_MODELS[1:], health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, listen: str) -> int:
        """Listens on `address:port` and returns the port; port 0 takes a free one."""
        for name in _WITH_MODELS:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        for name in _AT_ONCE:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        port = self._server.add_insecure_port(listen)
        await self._server.start()
        return port

    async def ready(self) -> None:
        """Reports every service as serving."""
        for name in _WITH_MODELS:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def retire(self) -> None:
        """Reports every service as not serving; calls are still answered."""
        await self._health.enter_graceful_shutdown()

    async def wait_until_idle(self, seconds: float, *, within: float) -> None:
        """Returns when no call has arrived for `seconds`, after `within` seconds at most."""
        await self._interceptor.wait_until_idle(seconds, within=within)

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and ends open ones after `grace` seconds."""
        await self._server.stop(grace)
