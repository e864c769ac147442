"""A server that follows the protos and does no work: what it answers is scripted by the test.

It keeps artifacts in memory, remembers every request, and breaks where it is told to. Jobs succeed at
once unless `by_hand` is set; then the test moves them on with `advance` and `finish`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from intarsia import errors
from intarsia.v1 import (
    adapters_pb2,
    adapters_pb2_grpc,
    artifacts_pb2,
    artifacts_pb2_grpc,
    editing_pb2,
    editing_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    segmentation_pb2,
    segmentation_pb2_grpc,
)
from intarsia.v1.jobs_pb2 import Job
from intarsia.v1.region_pb2 import Instance, PixelBox
from intarsia.v1.results_pb2 import Sheet, TrackResult, View

CODES = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DigestMismatch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.EmptyRegion: grpc.StatusCode.NOT_FOUND,
    errors.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.TimeLimit: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ModelDown: grpc.StatusCode.UNAVAILABLE,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}
EXPIRES = 2_000_000_000  # seconds since 1970, in 2033
FINISHED = (Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED)


@dataclass(frozen=True)
class Fault:
    """Ends one call: with an error (or a bare status), after so many chunks, or after the work is done."""

    error: errors.IntarsiaError | grpc.StatusCode
    after_chunks: int = 0
    after_the_work: bool = False

    def strike(self, context: grpc.ServicerContext) -> NoReturn:
        if isinstance(self.error, grpc.StatusCode):
            context.abort(self.error, "scripted")
        raise context.abort_with_status(rpc_status.to_status(rich(self.error)))


def rich(error: errors.IntarsiaError) -> Status:
    details = [ErrorInfo(domain=errors.DOMAIN, reason=error.reason, metadata=error.facts)]
    if isinstance(error, errors.InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(BadRequest(field_violations=[violation]))
    packed = [Packed() for _ in details]
    for any_, detail in zip(packed, details, strict=True):
        any_.Pack(detail)
    return Status(code=CODES[type(error)].value[0], message=error.message, details=packed)


class Double(
    adapters_pb2_grpc.AdaptersServicer,
    artifacts_pb2_grpc.ArtifactsServicer,
    editing_pb2_grpc.EditingServicer,
    jobs_pb2_grpc.JobsServicer,
    segmentation_pb2_grpc.SegmentationServicer,
):
    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.pinned: set[str] = set()
        self.asked: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.jobs: dict[str, list[Job]] = {}
        self.asked_for: dict[str, Any] = {}  # requests by their jobs
        self.watchers = 0
        self.by_hand = False
        self.candidates = 1  # how many a region has
        self.pause: threading.Event | None = None  # an edit is not answered before this is set
        self.chunk = 1000
        self._changed = threading.Condition()

    # What tests say.

    def keep(self, content: bytes) -> str:
        name = f"artifacts/{hashlib.sha256(content).hexdigest()}"
        self.stored[name] = content
        return name

    def requests(self, method: str) -> list[Any]:
        return [request for name, request in self.asked if name == method]

    def advance(self, name: str, **progress: Any) -> None:
        self._move(name, lambda job: job.progress.MergeFrom(jobs_pb2.Progress(**progress)), Job.STATE_RUNNING)

    def finish(self, name: str, state: Job.State, failure: jobs_pb2.Failure | None = None) -> None:
        def end(job: Job) -> None:
            if failure is not None:
                job.failure.CopyFrom(failure)

        self._move(name, end, state)

    def succeed(self, name: str) -> None:
        def made(job: Job) -> None:
            job.progress.fraction = 1.0
            if job.method == "TrackRegion":
                self._track(self.asked_for[name], job.result.track)
                return
            fills = job.method == "FillRegion"
            result = job.result.picture
            result.picture = self.keep(b"a filled picture" if fills else b"an edited picture")
            result.mask = self.keep(b"a mask")
            result.manifest.seed = 7
            result.manifest.steps = 2
            result.manifest.scheduler = "ddim"
            result.manifest.notes.append("16-bit values were rounded to 8 bits")
            self._show(self.asked_for[name], result)

        self._move(name, made, Job.STATE_SUCCEEDED)

    def _track(self, request: Any, result: TrackResult) -> None:
        """Masks and a track of ten frames, and an overlay if it was asked for."""
        result.masks, result.track = self.keep(b"masks of a clip"), self.keep(b"{}")
        result.overlay = self.keep(b"an overlay of a clip") if request.overlay else ""
        result.frames, result.seen = 10, 8
        result.notes.append("10-bit values were rounded to 8 bits")

    def _show(self, request: Any, result: Any) -> None:
        """Candidates, views and collage, as they were asked for."""
        shared = (View.KIND_OVERLAY, View.KIND_BLANK)
        for n in range(request.job.candidates or 1):
            picture = self.keep(b"candidate %d" % (n + 1)) if n else result.picture
            one = result.candidates.add(picture=picture, seed=7 + n)
            for kind in request.job.output.views:
                if kind not in shared:
                    one.views.add(kind=kind, picture=self.keep(b"view %d of %d" % (kind, n + 1)))
        for kind in request.job.output.views:
            if kind in shared:
                result.views.add(kind=kind, picture=self.keep(b"view %d" % kind))
        if request.job.output.HasField("collage"):
            result.collage = self.keep(b"a collage")

    def until(self, true: Callable[[], bool], seconds: float = 10.0) -> None:
        """Waits for something that a call brings about."""
        with self._changed:
            assert self._changed.wait_for(true, seconds), "it did not happen in time"

    # What clients ask.

    def UploadArtifact(self, pieces: Iterator[Any], context: Any) -> artifacts_pb2.Artifact:
        header = next(pieces).header
        fault = self._arrived("UploadArtifact", header, context)
        received = []
        for piece in pieces:
            received.append(piece.chunk)
            if fault and len(received) == fault.after_chunks:
                fault.strike(context)
        content = b"".join(received)
        if hashlib.sha256(content).hexdigest() != header.sha256 or len(content) != header.size_bytes:
            Fault(errors.DigestMismatch("other bytes than announced", field="header.sha256")).strike(context)
        return self._artifact(self.keep(content))

    def DownloadArtifact(self, request: Any, context: Any) -> Iterator[Any]:
        fault = self._arrived("DownloadArtifact", request, context)
        self._stored(request.name, context)
        yield artifacts_pb2.DownloadArtifactResponse(artifact=self._artifact(request.name))
        content = self.stored[request.name]
        for number, at in enumerate(range(request.offset, len(content), self.chunk)):
            if fault and number == fault.after_chunks:
                fault.strike(context)
            yield artifacts_pb2.DownloadArtifactResponse(chunk=content[at : at + self.chunk])

    def GetArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("GetArtifact", request, context)
        return self._artifact(self._stored(request.name, context))

    def ListArtifacts(self, request: Any, context: Any) -> artifacts_pb2.ListArtifactsResponse:
        self._arrived("ListArtifacts", request, context)
        found = [name for name in reversed(self.stored) if name in self.pinned or not request.pinned]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return artifacts_pb2.ListArtifactsResponse(
            artifacts=[self._artifact(name) for name in found[start:end]],
            next_page_token=str(end) if end < len(found) else "",
        )

    def PinArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("PinArtifact", request, context)
        self.pinned.add(self._stored(request.name, context))
        return self._artifact(request.name)

    def UnpinArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("UnpinArtifact", request, context)
        self.pinned.discard(self._stored(request.name, context))
        return self._artifact(request.name)

    def DeleteArtifact(self, request: Any, context: Any) -> artifacts_pb2.DeleteArtifactResponse:
        fault = self._arrived("DeleteArtifact", request, context)
        if self._stored(request.name, context) in self.pinned:
            Fault(errors.NotReady("it is pinned; unpin it first")).strike(context)
        del self.stored[request.name]
        if fault:
            fault.strike(context)
        return artifacts_pb2.DeleteArtifactResponse()

    def EditRegion(self, request: editing_pb2.EditRegionRequest, context: Any) -> Job:
        return self._begin("EditRegion", request, context)

    def FillRegion(self, request: editing_pb2.FillRegionRequest, context: Any) -> Job:
        return self._begin("FillRegion", request, context)

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
                mask=self.keep(b"a mask" + b" %d" % n * (n > 0)), score=0.875 / (n + 1), box=box, area=900
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

    def GetJob(self, request: Any, context: Any) -> Job:
        self._arrived("GetJob", request, context)
        return self._job(request.name, context)[-1]

    def ListJobs(self, request: Any, context: Any) -> jobs_pb2.ListJobsResponse:
        self._arrived("ListJobs", request, context)
        found = [history[-1] for history in reversed(self.jobs.values())]
        found = [job for job in found if not request.states or job.state in request.states]
        found = [job for job in found if not request.methods or job.method in request.methods]
        found = [job for job in found if set(request.labels) <= set(job.labels)]
        start = int(request.page_token or 0)
        end = start + request.page_size
        token = str(end) if end < len(found) else ""
        return jobs_pb2.ListJobsResponse(jobs=found[start:end], next_page_token=token)

    def WatchJob(self, request: Any, context: Any) -> Iterator[Job]:
        fault = self._arrived("WatchJob", request, context)
        history = self._job(request.name, context)
        context.add_callback(lambda: self._left(request))
        with self._changed:
            self.watchers += 1
            self._changed.notify_all()
        seen = len(history) - 1 if self.by_hand else 0
        while context.is_active():
            with self._changed:
                while len(history) == seen and context.is_active():
                    self._changed.wait()
            for job in history[seen:]:
                if fault and seen >= fault.after_chunks:
                    fault.strike(context)
                seen += 1
                yield job
                if job.state in FINISHED:
                    return

    def CancelJob(self, request: Any, context: Any) -> Job:
        self._arrived("CancelJob", request, context)
        history = self._job(request.name, context)
        if history[-1].state not in FINISHED:
            if request.keep_partial:
                self.succeed(request.name)
            self.finish(request.name, Job.STATE_CANCELLED)
        return history[-1]

    def PauseJob(self, request: Any, context: Any) -> Job:
        return self._set(
            "PauseJob", request, context, (Job.STATE_QUEUED, Job.STATE_RUNNING), Job.STATE_PAUSED
        )

    def ResumeJob(self, request: Any, context: Any) -> Job:
        return self._set("ResumeJob", request, context, (Job.STATE_PAUSED,), Job.STATE_QUEUED)

    def RetryJob(self, request: Any, context: Any) -> Job:
        ended = (Job.STATE_FAILED, Job.STATE_CANCELLED)
        return self._set("RetryJob", request, context, ended, Job.STATE_QUEUED)

    def _set(
        self, method: str, request: Any, context: Any, before: tuple[Job.State, ...], after: Job.State
    ) -> Job:
        """Moves a job from one of some states to another, and leaves any other job as it is."""
        fault = self._arrived(method, request, context)
        history = self._job(request.name, context)
        if history[-1].state in before:
            self._move(request.name, lambda job: job.ClearField("failure"), after)
        if fault:
            fault.strike(context)
        return history[-1]

    def _arrived(self, method: str, request: Any, context: Any) -> Fault | None:
        """Remembers a request; strikes at once, or returns a fault that strikes later."""
        self.metadata.append(dict(context.invocation_metadata()))
        with self._changed:
            self.asked.append((method, request))
            self._changed.notify_all()
        if not self.faults[method]:
            return None
        fault = self.faults[method].popleft()
        if not (fault.after_chunks or fault.after_the_work):
            fault.strike(context)
        return fault

    def _left(self, request: Any) -> None:
        with self._changed:
            self.watchers -= 1
            self._changed.notify_all()
        if request.cancel_on_disconnect and self.jobs[request.name][-1].state not in FINISHED:
            self.finish(request.name, Job.STATE_CANCELLED)

    def _job(self, name: str, context: Any) -> list[Job]:
        if name not in self.jobs:
            Fault(errors.NotFound(f"no {name}")).strike(context)
        return self.jobs[name]

    def _move(self, name: str, change: Callable[[Job], None], state: Job.State) -> None:
        with self._changed:
            job = Job()
            job.CopyFrom(self.jobs[name][-1])
            job.state = state
            change(job)
            self.jobs[name].append(job)
            self._changed.notify_all()

    def _stored(self, name: str, context: Any) -> str:
        if name not in self.stored:
            Fault(errors.NotFound(f"no {name}")).strike(context)
        return name

    def _artifact(self, name: str) -> artifacts_pb2.Artifact:
        made = artifacts_pb2.Artifact(name=name, size_bytes=len(self.stored[name]), media_type="image/png")
        made.pinned, made.origin = name in self.pinned, artifacts_pb2.Artifact.ORIGIN_UPLOAD
        if not made.pinned:
            made.expire_time.FromSeconds(EXPIRES)
        return made


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
