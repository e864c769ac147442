"""From messages to the values of `intarsia.results`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from intarsia import errors, results, status
from intarsia.results import F
from intarsia.v1 import (
    adapters_pb2,
    artifacts_pb2,
    editing_pb2,
    jobs_pb2,
    region_pb2,
    results_pb2,
    segmentation_pb2,
)

File = Callable[[str], F]  # makes the handle of an artifact from its name


def artifact(message: artifacts_pb2.Artifact) -> results.ArtifactInfo:
    return results.ArtifactInfo(
        name=message.name,
        size_bytes=message.size_bytes,
        media_type=message.media_type,
        create_time=_time(message, "create_time"),
        pinned=message.pinned,
        expire_time=_time(message, "expire_time"),
        origin=_word(artifacts_pb2.Artifact.Origin, message.origin, "ORIGIN_") if message.origin else "",
    )


def adapter_report(message: adapters_pb2.InspectAdapterResponse) -> results.AdapterReport:
    return results.AdapterReport(
        kind=_word(adapters_pb2.InspectAdapterResponse.Kind, message.kind, "KIND_"),
        layout=message.layout,
        rank=message.rank,
        matched=message.matched,
        unexpected=tuple(message.unexpected),
        unexpected_count=message.unexpected_count,
        parameters=message.parameters,
        weights=message.weights,
        metadata=dict(message.metadata),
    )


def segment_result(
    message: segmentation_pb2.SegmentRegionResponse, file: File[F]
) -> results.SegmentResult[F]:
    return results.SegmentResult(
        instances=tuple(_region(each, file) for each in message.instances),
        region=_region(message.region, file),
        width=message.width,
        height=message.height,
        notes=tuple(message.notes),
    )


def request_plan(message: editing_pb2.PlanRegionResponse, file: File[F]) -> results.RequestPlan[F]:
    return results.RequestPlan(
        parts=tuple(_part(part, file) for part in message.parts),
        steps=message.steps,
        evaluations=message.evaluations,
        candidates=message.candidates,
        denoising=_duration(message.denoising),
        notes=tuple(message.notes),
    )


def job_status(message: jobs_pb2.Job, file: File[F]) -> results.JobStatus[F]:
    return results.JobStatus(
        name=message.name,
        method=message.method,
        state=_state(message),
        progress=_progress(message.progress, file),
        error=_error(message),
        result=_result(message, file),
        request_id=message.request_id,
        create_time=_time(message, "create_time"),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        kind=_word(jobs_pb2.Job.Kind, message.kind, "KIND_") if message.kind else "",
        priority=message.priority,
        labels=tuple(message.labels),
        attempt=message.attempt,
    )


def _state(message: jobs_pb2.Job) -> results.JobState:
    word = _word(jobs_pb2.Job.State, message.state, "STATE_")
    try:
        return results.JobState(word)
    except ValueError:
        raise errors.InternalError(
            f"{message.name} is in the state {word}, which this client does not know; is the server newer? "
            "Then update the client"
        ) from None


def _progress(message: jobs_pb2.Progress, file: File[F]) -> results.JobProgress[F]:
    return results.JobProgress(
        stage=message.stage,
        step=message.step,
        steps=message.steps,
        fraction=message.fraction,
        remaining=_duration(message.remaining) if message.HasField("remaining") else None,
        preview=file(message.preview) if message.preview else None,
        note=message.note,
    )


def _error(message: jobs_pb2.Job) -> errors.IntarsiaError | None:
    if message.state == jobs_pb2.Job.STATE_CANCELLED and not message.failure.reason:
        return errors.Cancelled(message.failure.message or f"{message.name} was cancelled")
    if message.state in (jobs_pb2.Job.STATE_FAILED, jobs_pb2.Job.STATE_CANCELLED):
        return status.from_failure(message.failure, message.name)
    return None


def _result(message: jobs_pb2.Job, file: File[F]) -> results.PictureResult[F] | results.TrackResult[F] | None:
    kind = message.result.WhichOneof("kind")
    if kind == "picture":
        return _picture_result(message.result.picture, file)
    return _track_result(message.result.track, file) if kind == "track" else None


def _picture_result(message: results_pb2.PictureResult, file: File[F]) -> results.PictureResult[F]:
    return results.PictureResult(
        picture=file(message.picture),
        mask=file(message.mask),
        region=_region(message.region, file),
        manifest=_manifest(message.manifest),
        candidates=tuple(
            results.CandidateResult(file(each.picture), each.seed, _views(each.views, file))
            for each in message.candidates
        ),
        parts=tuple(_part(part, file) for part in message.parts),
        views=_views(message.views, file),
        collage=file(message.collage) if message.collage else None,
    )


def _track_result(message: results_pb2.TrackResult, file: File[F]) -> results.TrackResult[F]:
    return results.TrackResult(
        masks=file(message.masks),
        track=file(message.track),
        overlay=file(message.overlay) if message.overlay else None,
        frames=message.frames,
        seen=message.seen,
        width=message.width,
        height=message.height,
        stage_times=_stage_times(message.stage_times),
        weights=dict(message.weights),
        notes=tuple(message.notes),
    )


def _manifest(message: results_pb2.Manifest) -> results.ResultManifest:
    return results.ResultManifest(
        seed=message.seed,
        steps=message.steps,
        guidance=dict(message.guidance),
        scheduler=message.scheduler,
        reproducible=message.reproducible,
        crop=_bounds(message.crop),
        working_width=message.working_width,
        working_height=message.working_height,
        stage_times=_stage_times(message.stage_times),
        weights=dict(message.weights),
        adapters=dict(message.adapters),
        notes=tuple(message.notes),
        path=message.path,
        licences=dict(message.licences),
        model=message.model,
    )


def _views(messages: Iterable[results_pb2.View], file: File[F]) -> Mapping[str, F]:
    return {_word(results_pb2.View.Kind, view.kind, "KIND_"): file(view.picture) for view in messages}


def _part(message: results_pb2.Part, file: File[F]) -> results.RegionPart[F]:
    return results.RegionPart(
        region=_region(message.region, file),
        instruction=message.instruction,
        crop=_bounds(message.crop),
        sheets=tuple(
            results.WorkedSheet(_bounds(sheet.box), sheet.working_width, sheet.working_height)
            for sheet in message.sheets
        ),
        grow=message.grow,
        feather=message.feather,
    )


def _region(message: region_pb2.Instance, file: File[F]) -> results.FoundRegion[F]:
    return results.FoundRegion(
        file(message.mask), message.score, _bounds(message.box), message.area, message.stability
    )


def _bounds(message: region_pb2.PixelBox) -> results.Bounds:
    return results.Bounds(message.left, message.top, message.right, message.bottom)


def _stage_times(messages: Iterable[results_pb2.StageTime]) -> Mapping[str, timedelta]:
    return {each.stage: _duration(each.duration) for each in messages}


def _duration(message: Duration) -> timedelta:
    return message.ToTimedelta()


def _time(message: Any, name: str) -> datetime | None:
    moment: Timestamp = getattr(message, name)
    return moment.ToDatetime(tzinfo=timezone.utc) if message.HasField(name) else None


def _word(enum: Any, number: int, prefix: str) -> str:
    """KIND_SIDE_BY_SIDE -> `side_by_side`; a number that this client does not know, as it is."""
    try:
        return enum.Name(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)
