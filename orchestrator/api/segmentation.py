"""`intarsia.v1.Segmentation`."""

from __future__ import annotations

import grpc

from intarsia.v1 import segmentation_pb2 as pb
from intarsia.v1 import segmentation_pb2_grpc as rpc
from orchestrator.api import wire
from orchestrator.api.answering import Counter
from orchestrator.workflows.segment_region import segment_region


class Segmentation(rpc.SegmentationServicer):
    """Finds regions."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def SegmentRegion(
        self, request: pb.SegmentRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SegmentRegionResponse:
        asked = wire.segment_region(request)
        found = await self._counter.answer(
            context, lambda at: segment_region(asked, at), what="the region was not found"
        )
        return wire.segmented(found)
