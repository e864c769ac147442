"""Messages to requests, and results to messages. Whatever is wrong with a request ends here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from intarsia.canvas.box import PixelBox
from intarsia.errors import InvalidRequest
from intarsia.v1 import artifacts_pb2, editing_pb2, jobs_pb2, region_pb2, segmentation_pb2
from orchestrator.api import fields, region
from orchestrator.api.status import code_of, facts_of
from orchestrator.artifacts.store import Artifact
from orchestrator.jobs.job import Job, State
from orchestrator.stages.run import Progress
from orchestrator.workflows.edit_region import Cut, Edited, EditRegion, Manifest, Output, Sampling
from orchestrator.workflows.segment_region import Instance, Segmented, SegmentRegion

SCHEDULERS: Mapping[int, str | None] = {
    editing_pb2.SCHEDULER_UNSPECIFIED: None,
    editing_pb2.SCHEDULER_DDIM: "ddim",
    editing_pb2.SCHEDULER_EULER: "euler",
    editing_pb2.SCHEDULER_EULER_ANCESTRAL: "euler_ancestral",
    editing_pb2.SCHEDULER_DPM_SOLVER: "dpm_solver",
    editing_pb2.SCHEDULER_UNIPC: "unipc",
    editing_pb2.SCHEDULER_DDPM: "ddpm",
}
FORMATS: Mapping[int, str | None] = {
    editing_pb2.FORMAT_UNSPECIFIED: None,
    editing_pb2.FORMAT_PNG: "PNG",
    editing_pb2.FORMAT_TIFF: "TIFF",
    editing_pb2.FORMAT_WEBP: "WEBP",
    editing_pb2.FORMAT_JPEG: "JPEG",
}
STATES: Mapping[int, State] = {
    jobs_pb2.Job.STATE_QUEUED: State.QUEUED,
    jobs_pb2.Job.STATE_RUNNING: State.RUNNING,
    jobs_pb2.Job.STATE_SUCCEEDED: State.SUCCEEDED,
    jobs_pb2.Job.STATE_FAILED: State.FAILED,
    jobs_pb2.Job.STATE_CANCELLED: State.CANCELLED,
}


def segment_region(message: segmentation_pb2.SegmentRegionRequest) -> SegmentRegion:
    """What to find."""
    return SegmentRegion(fields.artifact(message.picture, "picture"), region.place(message.region))


def edit_region(message: editing_pb2.EditRegionRequest) -> EditRegion:
    """What to change, where."""
    return EditRegion(
        picture=fields.artifact(message.picture, "picture"),
        place=region.place(message.region),
        instruction=fields.words(message.instruction, "instruction", at_most=2000, required=True),
        negative_instruction=fields.words(message.negative_instruction, "negative_instruction", at_most=2000),
        sampling=_sampling(message.sampling),
        cut=_cut(message.cut),
        output=_output(message.output),
        preview_every=fields.between(message.preview_every, "preview_every", 0, 1000),
    )


def _sampling(message: editing_pb2.Sampling) -> Sampling:
    def optional(name: str, least: float, most: float) -> float | None:
        if not fields.given(message, name):
            return None
        return fields.between(getattr(message, name), f"sampling.{name}", least, most)

    seed = message.seed if fields.given(message, "seed") else None
    if seed is not None and seed >= 2**63:
        raise InvalidRequest(f"sampling.seed must be below 2^63, not {seed}", field="sampling.seed")
    steps = message.steps if fields.given(message, "steps") else None
    return Sampling(
        seed=seed,
        steps=None if steps is None else fields.between(steps, "sampling.steps", 1, 1000),
        guidance=optional("guidance", 0, 100),
        picture_guidance=optional("picture_guidance", 0, 100),
        scheduler=fields.one_of(message.scheduler, "sampling.scheduler", SCHEDULERS),
        reproducible=message.reproducible,
    )


def _cut(message: editing_pb2.Cut) -> Cut:
    context = message.context if fields.given(message, "context") else Cut().context
    size = message.working_size if fields.given(message, "working_size") else None
    return Cut(
        context=fields.between(context, "cut.context", 0, 8),
        working_size=None if size is None else fields.between(size, "cut.working_size", 64, 2048),
    )


def _output(message: editing_pb2.Output) -> Output:
    quality = message.quality if fields.given(message, "quality") else Output().quality
    return Output(
        format=fields.one_of(message.format, "output.format", FORMATS),
        quality=fields.between(quality, "output.quality", 1, 100),
    )


def states(numbers: list[int]) -> tuple[State, ...]:
    """The states to list."""
    return tuple(fields.one_of(number, f"states[{n}]", STATES) for n, number in enumerate(numbers))


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
    if isinstance(at.result, Edited):
        message.edit_region.CopyFrom(_edited(at.result))
    return message


def _progress(at: Progress) -> jobs_pb2.Progress:
    return jobs_pb2.Progress(
        stage=at.stage,
        step=at.step,
        steps=at.steps,
        fraction=at.fraction,
        remaining=None if at.remaining is None else _duration(at.remaining),
        preview=at.preview,
    )


def _edited(result: Edited) -> jobs_pb2.EditRegionResult:
    return jobs_pb2.EditRegionResult(
        picture=result.picture,
        mask=result.mask,
        region=_instance(result.region),
        manifest=_manifest(result.manifest),
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
        stage_times=[
            jobs_pb2.StageTime(stage=stage, duration=_duration(took))
            for stage, took in of.stage_seconds.items()
        ],
        weights=of.weights,
        notes=of.notes,
    )


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
