"""`intarsia.v1.Editing`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import grpc

from intarsia.canvas.region import MaskPicture, every
from intarsia.v1 import editing_pb2 as pb
from intarsia.v1 import editing_pb2_grpc as rpc
from intarsia.v1 import jobs_pb2
from orchestrator import logs
from orchestrator.api import fields, wire
from orchestrator.api.answering import Counter
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.jobs.job import Jobs
from orchestrator.workflows import edit_region, fill_region
from orchestrator.workflows.plan_region import plan_region
from orchestrator.workflows.selection import Place

# The methods of the servicer have the requests' names.
_Asked: TypeAlias = edit_region.EditRegion | fill_region.FillRegion


class Editing(rpc.EditingServicer):
    """Starts jobs. What a request names must be there: a job that could only fail is not begun."""

    def __init__(self, jobs: Jobs, counter: Counter, store: ArtifactStore) -> None:
        self._jobs, self._counter, self._store = jobs, counter, store

    async def EditRegion(
        self, request: pb.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        return await self._begin("EditRegion", wire.edit_region(request), request)

    async def FillRegion(
        self, request: pb.FillRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        return await self._begin("FillRegion", wire.fill_region(request), request)

    async def PlanRegion(
        self, request: pb.PlanRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.PlanRegionResponse:
        asked = wire.plan_region(request)
        await self._there(asked)
        plan = await self._counter.answer(
            context, lambda at: plan_region(asked, at), what="the plan was not made"
        )
        return wire.planned(plan)

    async def _begin(self, method: str, asked: _Asked, request: Any) -> jobs_pb2.Job:
        await self._there(asked)
        job = await self._jobs.submit(
            method,
            asked,
            request_id=fields.request_id(request.request_id),
            time_limit=fields.seconds(request, "time_limit"),
        )
        logs.job.set(job.name)
        return wire.job(job)

    async def _there(self, asked: _Asked) -> None:
        """NotFound for the first artifact that is named and was never uploaded."""
        places = (
            [edit.place for edit in asked.edits]
            if isinstance(asked, edit_region.EditRegion)
            else [asked.place]
        )
        adapters = [adapter.artifact for adapter in asked.adapters]
        for name in (asked.picture, *(name for place in places for name in _masks(place)), *adapters):
            await self._store.describe(name)


def _masks(place: Place) -> Iterable[str]:
    """The mask pictures a region is made of."""
    selectors = (region.selector for region in every(place.region))
    return [selector.artifact for selector in selectors if isinstance(selector, MaskPicture)]
