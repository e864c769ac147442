"""The whole double: artifacts and jobs, the rpcs that start jobs, and those that answer at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from intarsia.v1 import (
    adapters_pb2,
    adapters_pb2_grpc,
    artifacts_pb2_grpc,
    editing_pb2,
    editing_pb2_grpc,
    jobs_pb2_grpc,
    segmentation_pb2,
    segmentation_pb2_grpc,
)
from intarsia.v1.jobs_pb2 import Job
from intarsia.v1.region_pb2 import Instance, PixelBox
from intarsia.v1.results_pb2 import Sheet
from tests.intarsia.double.artifacts import ArtifactsDouble
from tests.intarsia.double.jobs import FINISHED, JobsDouble
from tests.intarsia.double.results import result_of


class Double(
    ArtifactsDouble,
    JobsDouble,
    adapters_pb2_grpc.AdaptersServicer,
    editing_pb2_grpc.EditingServicer,
    segmentation_pb2_grpc.SegmentationServicer,
):
    """Jobs succeed at once unless `by_hand` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: dict[str, Any] = {}  # requests by their jobs
        self.candidates = 1  # how many a region has
        self.pause: threading.Event | None = None  # an edit is not answered before this is set

    def add_result(self, job: Job) -> None:
        job.progress.fraction = 1.0
        job.result.CopyFrom(result_of(job.method, self.asked_for[job.name], self.keep))

    def EditRegion(self, request: editing_pb2.EditRegionRequest, context: Any) -> Job:
        return self._begin("EditRegion", request, context)

    def FillRegion(self, request: editing_pb2.FillRegionRequest, context: Any) -> Job:
        return self._begin("FillRegion", request, context)

    def RemoveRegion(self, request: editing_pb2.RemoveRegionRequest, context: Any) -> Job:
        return self._begin("RemoveRegion", request, context)

    def TrackRegion(self, request: segmentation_pb2.TrackRegionRequest, context: Any) -> Job:
        return self._begin("TrackRegion", request, context)

    def PlanRegion(self, request: Any, context: Any) -> editing_pb2.PlanRegionResponse:
        self._arrived("PlanRegion", request, context)
        asked = getattr(request, request.WhichOneof("request"))
        plan = editing_pb2.PlanRegionResponse(
            steps=20, evaluations=3, candidates=asked.job.candidates or 1, notes=["the region is large"]
        )
        plan.denoising.FromMilliseconds(1500)
        box = PixelBox(left=1, top=2, right=30, bottom=40)
        sheet = Sheet(box=box, working_width=64, working_height=72)
        instance = Instance(score=0.875, box=box, area=900)
        plan.parts.add(region=instance, instruction="make it blue", crop=box, sheets=[sheet, sheet])
        return plan

    def InspectAdapter(self, request: Any, context: Any) -> adapters_pb2.InspectAdapterResponse:
        self._arrived("InspectAdapter", request, context)
        return adapters_pb2.InspectAdapterResponse(
            kind="KIND_LORA",
            layout="kohya",
            rank=4,
            matched=16,
            parameters=1024,
            metadata={"made": "by hand"},
        )

    def _begin(self, method: str, request: Any, context: Any) -> Job:
        fault = self._arrived(method, request, context)
        request_id = getattr(request, "job", request).request_id
        name = f"jobs/{request_id}"
        with self._changed:
            if name not in self.jobs:
                self.asked_for[name] = request
                asked = getattr(request, "job", request)
                first = Job(name=name, method=method, state=Job.STATE_QUEUED, request_id=request_id)
                first.priority, first.kind, first.attempt = asked.priority, asked.kind, 1
                first.labels.extend(asked.labels)
                self.jobs[name] = [first]
                self._changed.notify_all()
        if self.pause is not None:
            self.pause.wait(10)
        if not self.by_hand and self.jobs[name][-1].state not in FINISHED:
            self.advance(name, stage="denoise", step=1, steps=2, fraction=0.5)
            self.succeed(name)
        if fault:
            fault.strike(context)
        return self.jobs[name][0]

    def SegmentRegion(self, request: Any, context: Any) -> segmentation_pb2.SegmentRegionResponse:
        self._arrived("SegmentRegion", request, context)
        box = PixelBox(left=1, top=2, right=30, bottom=40)
        instances = [
            Instance(
                stability=0.95,
                mask=self.keep(b"a mask" + b" %d" % n * (n > 0)),
                score=0.875 / (n + 1),
                box=box,
                area=900,
            )
            for n in range(self.candidates)
        ]
        return segmentation_pb2.SegmentRegionResponse(
            instances=instances,
            region=instances[0],
            width=64,
            height=48,
            notes=["CMYK was converted to RGB"],
        )


def serve(double: Double, credentials: grpc.ServerCredentials | None = None) -> tuple[grpc.Server, str]:
    """Serves a double on a free port; the server and its address."""
    server = grpc.server(ThreadPoolExecutor(16))
    adapters_pb2_grpc.add_AdaptersServicer_to_server(double, server)
    artifacts_pb2_grpc.add_ArtifactsServicer_to_server(double, server)
    editing_pb2_grpc.add_EditingServicer_to_server(double, server)
    jobs_pb2_grpc.add_JobsServicer_to_server(double, server)
    segmentation_pb2_grpc.add_SegmentationServicer_to_server(double, server)
    if credentials is None:
        port = server.add_insecure_port("localhost:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    server.start()
    return server, f"localhost:{port}"
