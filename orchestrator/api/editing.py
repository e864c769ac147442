"""`intarsia.v1.Editing`."""

from __future__ import annotations

import grpc

from intarsia.canvas.region import MaskPicture, every
from intarsia.v1 import editing_pb2, jobs_pb2
from intarsia.v1 import editing_pb2_grpc as rpc
from orchestrator import logs
from orchestrator.api import fields, wire
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.jobs.job import Jobs


class Editing(rpc.EditingServicer):
    """Starts jobs. What a request names must be there: a job that could only fail is not begun."""

    def __init__(self, jobs: Jobs, store: ArtifactStore) -> None:
        self._jobs, self._store = jobs, store

    async def EditRegion(
        self, request: editing_pb2.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        asked = wire.edit_region(request)
        await self._store.describe(asked.picture)
        for region in every(asked.place.region):
            if isinstance(region.selector, MaskPicture):
                await self._store.describe(region.selector.artifact)
        job = await self._jobs.submit(
            "EditRegion",
            asked,
            request_id=fields.request_id(request.request_id),
            time_limit=fields.seconds(request, "time_limit"),
        )
        logs.job.set(job.name)
        return wire.job(job)
