"""`intarsia.v1.Editing`."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from intarsia.v1 import editing_pb2 as pb
from intarsia.v1 import editing_pb2_grpc as rpc
from intarsia.v1 import jobs_pb2
from orchestrator.api import from_proto, to_proto
from orchestrator.api.immediate import ImmediateCalls
from orchestrator.api.intake import Intake, masks
from orchestrator.stages.factory import StageFactory
from orchestrator.workflows import edit_region, fill_region
from orchestrator.workflows.plan_region import plan_region

# The methods of the servicer have the requests' names.
_Asked: TypeAlias = edit_region.EditRegion | fill_region.FillRegion


class Editing(rpc.EditingServicer):
    """Changes regions of pictures, or tells what that would cost."""

    def __init__(self, intake: Intake, immediate: ImmediateCalls, stage_factory: StageFactory) -> None:
        self._intake, self._immediate, self._stage_factory = intake, immediate, stage_factory

    async def EditRegion(
        self, request: pb.EditRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        asked = from_proto.edit_region(request)
        return await self._intake.begin(request, asked, _named(asked))

    async def FillRegion(
        self, request: pb.FillRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        asked = from_proto.fill_region(request)
        await self._stage_factory.check_fills()
        return await self._intake.begin(request, asked, _named(asked))

    async def PlanRegion(
        self, request: pb.PlanRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.PlanRegionResponse:
        asked = from_proto.plan_region(request)
        await self._intake.check_there(_named(asked))
        plan = await self._immediate.run(
            context, lambda at: plan_region(asked, at), what="the plan was not made"
        )
        return to_proto.plan_region_response(plan)


def _named(asked: _Asked) -> list[str]:
    """The artifacts a request needs."""
    if isinstance(asked, edit_region.EditRegion):
        places = [edit.target for edit in asked.edits]
    else:
        places = [asked.target]
    return [asked.picture, *masks(*places), *(adapter.artifact for adapter in asked.adapters)]
