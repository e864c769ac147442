"""`intarsia.v1.Editing`."""

from __future__ import annotations

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
from orchestrator.workflows.edit_region import EditRegion, ResolvedEdit
from orchestrator.workflows.fill_region import FillRegion, ResolvedFill
from orchestrator.workflows.plan_region import plan_region
from orchestrator.workflows.remove_region import RemoveRegion

# Methods of the servicer have the names of the requests.
_Request: TypeAlias = EditRegion | FillRegion | RemoveRegion


class Editing(rpc.EditingServicer):
    """Changes regions of pictures, or computes what that would cost."""

    def __init__(self, intake: Intake, immediate: ImmediateCalls) -> None:
        self._intake, self._immediate = intake, immediate

    async def EditRegion(
        self, request: pb.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        parsed = from_proto.edit_region(request)
        return await self._intake.submit(
            caller,
            request.job,
            parsed,
            _artifacts(parsed),
            edit_region.models(parsed),
            edit_region.resolve,
        )

    async def FillRegion(
        self, request: pb.FillRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        parsed = from_proto.fill_region(request)
        return await self._intake.submit(
            caller,
            request.job,
            parsed,
            _artifacts(parsed),
            fill_region.models(parsed),
            fill_region.resolve,
        )

    async def RemoveRegion(
        self, request: pb.RemoveRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        parsed = from_proto.remove_region(request)
        return await self._intake.submit(
            caller,
            request.job,
            parsed,
            _artifacts(parsed),
            remove_region.models(parsed),
            remove_region.resolve,
        )

    async def PlanRegion(
        self, request: pb.PlanRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.PlanRegionResponse:
        caller = caller_of(context)
        parsed = from_proto.plan_region(request)
        await self._intake.check_artifacts(caller, _artifacts(parsed))
        resolved = await self._resolve(caller, parsed)
        plan = await self._immediate.run(
            caller, context, lambda at: plan_region(resolved, at), what="the plan was not made"
        )
        return to_proto.plan_region_response(plan)

    async def _resolve(self, caller: Caller, parsed: _Request) -> ResolvedEdit | ResolvedFill:
        if isinstance(parsed, EditRegion):
            return await self._intake.resolve(caller, parsed, edit_region.models(parsed), edit_region.resolve)
        if isinstance(parsed, RemoveRegion):
            models = remove_region.models(parsed)
            return (await self._intake.resolve(caller, parsed, models, remove_region.resolve)).work
        return await self._intake.resolve(caller, parsed, fill_region.models(parsed), fill_region.resolve)


def _artifacts(request: _Request) -> list[str]:
    """The artifacts a request needs."""
    edits = request.edits if isinstance(request, EditRegion) else (request,)
    targets = [edit.target for edit in edits]
    return [
        request.picture,
        *mask_artifacts(*targets),
        *(adapter.artifact for adapter in request.adapters),
    ]
