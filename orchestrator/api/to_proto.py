"""Results to messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from canvas.box import PixelBox
from intarsia.v1 import adapters_pb2, artifacts_pb2, editing_pb2, jobs_pb2, region_pb2, segmentation_pb2
from orchestrator.api.status import code_of, facts_of
from orchestrator.jobs.job import Job
from orchestrator.runs.run import Progress
from orchestrator.workflows.results import Candidate, EditResult, Manifest, Part, Plan, View
from orchestrator.workflows.segment_region import Instance, Segmented
from orchestrator.workflows.track_region import Tracked
from store.artifact import Artifact


def segmented(found: Segmented) -> segmentation_pb2.SegmentRegionResponse:
    """What was found."""
    return segmentation_pb2.SegmentRegionResponse(
        instances=[_instance(one) for one in found.instances],
        region=_instance(found.region),
        width=found.width,
        height=found.height,
        notes=found.notes,
    )


def artifact(kept: Artifact) -> artifacts_pb2.Artifact:
    """What is known about stored bytes."""
    return artifacts_pb2.Artifact(
        name=kept.name,
        size_bytes=kept.size,
        media_type=kept.media_type,
        create_time=_timestamp(kept.created),
    )


def job(at: Job) -> jobs_pb2.Job:
    """How a job stands."""
    message = jobs_pb2.Job(
        name=at.name,
        method=at.method,
        state=f"STATE_{at.state.name}",
        progress=_progress(at.progress),
        request_id=at.request_id,
        create_time=_timestamp(at.created),
        start_time=_timestamp(at.started),
        end_time=_timestamp(at.ended),
    )
    if at.failure is not None:
        message.failure.CopyFrom(
            jobs_pb2.Failure(
                status=code_of(at.failure).name,
                reason=at.failure.reason,
                message=at.failure.message,
                metadata=facts_of(at.failure),
            )
        )
    if at.result is not None:
        slot, made = _RESULTS[at.method]
        getattr(message, slot).CopyFrom(made(at.result))
    return message


def planned(plan: Plan) -> editing_pb2.PlanRegionResponse:
    """What a request would do and cost."""
    return editing_pb2.PlanRegionResponse(
        parts=[_part(part) for part in plan.parts],
        steps=plan.steps,
        questions=plan.questions,
        candidates=plan.candidates,
        denoising=_duration(plan.seconds),
        notes=plan.notes,
    )


def inspected(report: Mapping[str, Any]) -> adapters_pb2.InspectAdapterResponse:
    """What a model says of an adapter."""
    return adapters_pb2.InspectAdapterResponse(
        kind=f"KIND_{report['kind'].upper()}",
        layout=report["layout"],
        rank=report["rank"],
        matched=report["matched"],
        unexpected=report["unexpected"],
        unexpected_count=report["unexpected_count"],
        parameters=report["parameters"],
        weights=report["weights"],
        metadata=report["metadata"],
    )


def _progress(at: Progress) -> jobs_pb2.Progress:
    return jobs_pb2.Progress(
        stage=at.stage,
        step=at.step,
        steps=at.steps,
        fraction=at.fraction,
        remaining=None if at.remaining is None else _duration(at.remaining),
        preview=at.preview,
    )


def _made(result: EditResult, kind: Any) -> Any:
    return kind(
        picture=result.picture,
        mask=result.mask,
        region=_instance(result.region),
        manifest=_manifest(result.manifest),
        candidates=[_candidate(one) for one in result.candidates],
        parts=[_part(part) for part in result.parts],
        views=_views(result.views),
        collage=result.collage,
    )


def _tracked(result: Tracked) -> jobs_pb2.TrackRegionResult:
    return jobs_pb2.TrackRegionResult(
        masks=result.masks,
        track=result.track,
        overlay=result.overlay,
        frames=result.frames,
        seen=result.seen,
        width=result.width,
        height=result.height,
        stage_times=_stage_times(result.stage_seconds),
        weights=result.weights,
        notes=result.notes,
    )


# What jobs make, by the rpc that started them: the field it goes to, and how it is told.
_RESULTS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "EditRegion": ("edit_region", partial(_made, kind=jobs_pb2.EditRegionResult)),
    "FillRegion": ("fill_region", partial(_made, kind=jobs_pb2.FillRegionResult)),
    "TrackRegion": ("track_region", _tracked),
}


def _candidate(one: Candidate) -> jobs_pb2.Candidate:
    return jobs_pb2.Candidate(picture=one.picture, seed=one.seed, views=_views(one.views))


def _views(views: Sequence[View]) -> list[jobs_pb2.View]:
    return [jobs_pb2.View(kind=f"KIND_{view.kind.upper()}", picture=view.picture) for view in views]


def _part(part: Part) -> jobs_pb2.Part:
    return jobs_pb2.Part(
        region=_instance(part.region),
        instruction=part.words,
        crop=_box(part.crop),
        sheets=[
            jobs_pb2.Sheet(
                box=_box(sheet.box),
                working_width=sheet.working.width,
                working_height=sheet.working.height,
            )
            for sheet in part.sheets
        ],
    )


def _manifest(of: Manifest) -> jobs_pb2.Manifest:
    return jobs_pb2.Manifest(
        seed=of.noise.seed,
        steps=of.noise.steps,
        guidance=of.noise.guidance,
        picture_guidance=of.noise.picture_guidance,
        scheduler=of.noise.scheduler,
        reproducible=of.noise.reproducible,
        crop=_box(of.crop),
        working_width=of.working_width,
        working_height=of.working_height,
        stage_times=_stage_times(of.stage_seconds),
        weights=of.weights,
        adapters=of.adapters,
        notes=of.notes,
    )


def _stage_times(seconds: Mapping[str, float]) -> list[jobs_pb2.StageTime]:
    return [jobs_pb2.StageTime(stage=stage, duration=_duration(took)) for stage, took in seconds.items()]


def _instance(found: Instance) -> region_pb2.Instance:
    return region_pb2.Instance(mask=found.mask, score=found.score, box=_box(found.box), area=found.area)


def _box(box: PixelBox) -> region_pb2.PixelBox:
    return region_pb2.PixelBox(left=box.left, top=box.top, right=box.right, bottom=box.bottom)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
