"""`intarsia.v1.Segmentation`."""

from __future__ import annotations

import asyncio

import grpc

from intarsia.errors import Busy, TimeLimit
from intarsia.v1 import segmentation_pb2 as pb
from intarsia.v1 import segmentation_pb2_grpc as rpc
from orchestrator.api import wire
from orchestrator.stages.run import Run
from orchestrator.stages.workshop import Workshop
from orchestrator.triton.deadline import Deadline
from orchestrator.workflows.segment_region import segment_region


class Segmentation(rpc.SegmentationServicer):
    """Answers at once, so only so many questions are worked on at a time."""

    def __init__(self, workshop: Workshop, *, at_once: int, time_limit: float) -> None:
        self._workshop, self._at_once, self._time_limit = workshop, at_once, time_limit
        self._open = 0

    async def SegmentRegion(
        self, request: pb.SegmentRegionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SegmentRegionResponse:
        asked = wire.segment_region(request)
        if self._open >= self._at_once:
            raise Busy(f"{self._open} pictures are being looked at already; try again in a moment")
        client = context.time_remaining()
        seconds = self._time_limit if client is None else min(client, self._time_limit)
        run = Run(Deadline.after(seconds))
        self._open += 1
        try:
            work = segment_region(asked, self._workshop.at(run))
            return wire.segmented(await asyncio.wait_for(work, seconds))
        except asyncio.TimeoutError:
            raise TimeLimit(f"the region was not found within {seconds:.3g} s; allow more time") from None
        finally:
            self._open -= 1
