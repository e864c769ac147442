"""`intarsia.v1.Segmentation`."""

from __future__ import annotations

import grpc

from intarsia.v1 import jobs_pb2
from intarsia.v1 import segmentation_pb2 as pb
from intarsia.v1 import segmentation_pb2_grpc as rpc
from orchestrator.api import from_proto, to_proto
from orchestrator.api.caller import caller_of
from orchestrator.api.immediate import ImmediateCalls
from orchestrator.api.intake import Intake, mask_artifacts
from orchestrator.workflows import track_region
from orchestrator.workflows.segment_region import segment_region


class Segmentation(rpc.SegmentationServicer):
    """Finds regions, and follows them."""

    def __init__(self, intake: Intake, immediate: ImmediateCalls) -> None:
        self._intake, self._immediate = intake, immediate

    async def SegmentRegion(
        self, request: pb.SegmentRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SegmentRegionResponse:
        caller = caller_of(context)
        parsed = from_proto.segment_region(request)
        await self._intake.check_artifacts(caller, [parsed.picture, *mask_artifacts(parsed.target)])
        found = await self._immediate.run(
            caller,
            context,
            lambda at: segment_region(parsed, at),
            what="the region was not found",
        )
        return to_proto.segment_region_response(found)

    async def TrackRegion(
        self, request: pb.TrackRegionRequest, context: grpc.aio.ServicerContext
    ) -> jobs_pb2.Job:
        caller = caller_of(context)
        parsed = from_proto.track_region(request)
        targets = [sighting.target for sighting in parsed.sightings]
        artifacts = [parsed.clip, *mask_artifacts(*targets)]
        return await self._intake.submit(
            caller, request, parsed, artifacts, track_region.models(parsed), track_region.resolve
        )
