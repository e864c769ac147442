"""`intarsia.v1.Editing`."""

from __future__ import annotations

import grpc

from intarsia.v1 import editing_pb2, jobs_pb2
from intarsia.v1 import editing_pb2_grpc as rpc
from orchestrator.api import fields, wire
from orchestrator.jobs.job import Jobs


class Editing(rpc.EditingServicer):
    """Starts jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def EditRegion(
        self, request: editing_pb2.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        return wire.job(
            await self._jobs.submit(
                "EditRegion",
                wire.edit_region(request),
                request_id=fields.request_id(request.request_id),
                time_limit=fields.seconds(request, "time_limit"),
            )
        )
