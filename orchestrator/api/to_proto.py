"""From values of the orchestrator to messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from canvas.box import PixelBox
from intarsia.v1 import (
    adapters_pb2,
    artifacts_pb2,
    editing_pb2,
    jobs_pb2,
    region_pb2,
    results_pb2,
    segmentation_pb2,
)
from orchestrator.api.status import code_of, facts_of
from orchestrator.jobs.job import Job
from orchestrator.runs.run import Progress
from orchestrator.workflows.instance import Instance
from orchestrator.workflows.results import Candidate, EditResult, Manifest, Part, Plan, View
from orchestrator.workflows.segment_region import Segmented
from orchestrator.workflows.track_region import Tracked
from store.artifact import Artifact


def segment_region_response(found: Segmented) -> segmentation_pb2.SegmentRegionResponse:
    """The response of `SegmentRegion`."""
    return segmentation_pb2.SegmentRegionResponse(
        instances=[_instance(one) for one in found.instances],
        region=_instance(found.region),
        width=found.width,
        height=found.height,
        notes=found.notes,
    )


def artifact(stored: Artifact) -> artifacts_pb2.Artifact:
    """The description of stored bytes."""
    return artifacts_pb2.Artifact(
        name=stored.name,
        size_bytes=stored.size,
        media_type=stored.media_type,
        create_time=_timestamp(stored.created),
        pinned=stored.pinned,
        expire_time=_timestamp(stored.expires),
        origin=f"ORIGIN_{stored.origin.name}",
    )


def job(of: Job) -> jobs_pb2.Job:
    """A job's state."""
    message = jobs_pb2.Job(
        name=of.name,
        method=of.method,
        state=f"STATE_{of.state.name}",
        progress=_progress(of.progress),
        request_id=of.request_id,
        create_time=_timestamp(of.created),
        start_time=_timestamp(of.started),
        end_time=_timestamp(of.ended),
        kind=f"KIND_{of.kind.name}",
        priority=of.priority,
        labels=of.labels,
        attempt=of.attempt,
    )
    if of.failure is not None:
        message.failure.CopyFrom(
            jobs_pb2.Failure(
                status=code_of(of.failure).name,
                reason=of.failure.reason,
                message=of.failure.message,
                metadata=facts_of(of.failure),
            )
        )
    if of.result is not None:
        message.result.CopyFrom(_RESULTS[of.method](of.result))
    return message


def plan_region_response(plan: Plan) -> editing_pb2.PlanRegionResponse:
    """The response of `PlanRegion`."""
    return editing_pb2.PlanRegionResponse(
        parts=[_part(part) for part in plan.parts],
        steps=plan.steps,
        evaluations=plan.evaluations,
        candidates=plan.candidates,
        denoising=_duration(plan.seconds),
        notes=plan.notes,
    )


def inspect_adapter_response(report: Mapping[str, Any]) -> adapters_pb2.InspectAdapterResponse:
    """The response of `InspectAdapter`, from a model's report."""
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


def _progress(of: Progress) -> jobs_pb2.Progress:
    return jobs_pb2.Progress(
        stage=of.stage,
        step=of.step,
        steps=of.steps,
        fraction=of.fraction,
        remaining=None if of.remaining is None else _duration(of.remaining),
        preview=of.preview,
        note=of.note,
    )


def _picture_result(result: EditResult) -> results_pb2.Result:
    picture = results_pb2.PictureResult(
        picture=result.picture,
        mask=result.mask,
        region=_instance(result.region),
        manifest=_manifest(result.manifest),
        candidates=[_candidate(one) for one in result.candidates],
        parts=[_part(part) for part in result.parts],
        views=_views(result.views),
        collage=result.collage,
    )
    return results_pb2.Result(picture=picture)


def _track_result(result: Tracked) -> results_pb2.Result:
    track = results_pb2.TrackResult(
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
    return results_pb2.Result(track=track)


# The function that makes the message of a result, by the rpc of its job.
_RESULTS: Mapping[str, Callable[[Any], results_pb2.Result]] = {
    "EditRegion": _picture_result,
    "FillRegion": _picture_result,
    "RemoveRegion": _picture_result,
    "TrackRegion": _track_result,
}


def _candidate(one: Candidate) -> results_pb2.Candidate:
    return results_pb2.Candidate(picture=one.picture, seed=one.seed, views=_views(one.views))


def _views(views: Sequence[View]) -> list[results_pb2.View]:
    return [results_pb2.View(kind=f"KIND_{view.kind.upper()}", picture=view.picture) for view in views]


def _part(part: Part) -> results_pb2.Part:
    return results_pb2.Part(
        region=_instance(part.region),
        instruction=part.words,
        crop=_box(part.crop),
        sheets=[
            results_pb2.Sheet(
                box=_box(sheet.box),
                working_width=sheet.working.width,
                working_height=sheet.working.height,
            )
            for sheet in part.sheets
        ],
        grow=part.grow,
        feather=part.feather,
    )


def _manifest(of: Manifest) -> results_pb2.Manifest:
    return results_pb2.Manifest(
        seed=of.sampling.seed,
        steps=of.sampling.steps,
        guidance=of.sampling.guidance,
        scheduler=of.sampling.scheduler,
        reproducible=of.sampling.reproducible,
        crop=_box(of.crop),
        working_width=of.working_width,
        working_height=of.working_height,
        stage_times=_stage_times(of.stage_seconds),
        weights=of.weights,
        adapters=of.adapters,
        notes=of.notes,
        path=of.path,
        licences=of.licences,
        model=of.model,
    )


def _stage_times(seconds: Mapping[str, float]) -> list[results_pb2.StageTime]:
    return [results_pb2.StageTime(stage=stage, duration=_duration(took)) for stage, took in seconds.items()]


def _instance(found: Instance) -> region_pb2.Instance:
    return region_pb2.Instance(
        mask=found.mask,
        score=found.score,
        box=_box(found.box),
        area=found.area,
        stability=found.stability,
    )


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
