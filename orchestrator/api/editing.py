"""`intarsia.v1.Editing`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TypeAlias

import grpc

from intarsia.v1 import editing_pb2 as pb
from intarsia.v1 import editing_pb2_grpc as rpc
from intarsia.v1 import jobs_pb2
from orchestrator.api import from_proto, to_proto
from orchestrator.api.caller import caller_of
from orchestrator.api.immediate import ImmediateCalls
from orchestrator.api.intake import Intake, mask_artifacts
from orchestrator.caller import Caller
from orchestrator.workflows import edit_region, fill_region, remove_region
from orchestrator.workflows.edit_region import EditRegion
from orchestrator.workflows.fill_region import FillRegion
from orchestrator.workflows.plan_region import plan_region
from orchestrator.workflows.remove_region import RemoveRegion

# Methods of the servicer have the names of the requests.
_Request: TypeAlias = EditRegion | FillRegion | RemoveRegion

# By the type of the request: the module with its `models` and its `resolve`.
_WORKFLOWS: Mapping[type[_Request], ModuleType] = {
    EditRegion: edit_region,
    FillRegion: fill_region,
    RemoveRegion: remove_region,
}


class Editing(rpc.EditingServicer):
    """Changes regions of pictures, or computes what that would cost."""

    def __init__(self, intake: Intake, immediate: ImmediateCalls) -> None:
        self._intake, self._immediate = intake, immediate

    async def EditRegion(
        self, request: pb.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        return await self._submit(caller, request.job, from_proto.edit_region(request))

    async def FillRegion(
        self, request: pb.FillRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        return await self._submit(caller, request.job, from_proto.fill_region(request))

    async def RemoveRegion(
        self, request: pb.RemoveRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        return await self._submit(caller, request.job, from_proto.remove_region(request))

    async def PlanRegion(
        self, request: pb.PlanRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.PlanRegionResponse:
        caller = caller_of(context)
        parsed = from_proto.plan_region(request)
        await self._intake.check_artifacts(caller, _artifacts(parsed))
        recipe = _WORKFLOWS[type(parsed)]
        resolved = await self._intake.resolve(caller, parsed, recipe.models(parsed), recipe.resolve)
        plan = await self._immediate.run(
            caller, context, lambda at: plan_region(resolved, at), what="the plan was not made"
        )
        return to_proto.plan_region_response(plan)

    async def _submit(self, caller: Caller, message: pb.PictureJob, parsed: _Request) -> jobs_pb2.Job:
        recipe = _WORKFLOWS[type(parsed)]
        return await self._intake.submit(
            caller, message, parsed, _artifacts(parsed), recipe.models(parsed), recipe.resolve
        )


def _artifacts(request: _Request) -> list[str]:
    """The artifacts a request needs."""
    edits = request.edits if isinstance(request, EditRegion) else (request,)
    targets = [edit.target for edit in edits]
    return [
        request.picture,
        *mask_artifacts(*targets),
        *(adapter.artifact for adapter in request.adapters),
    ]
