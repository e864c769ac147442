"""From messages to requests. `InvalidRequest` for every field that is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from canvas.collage import Spacing
from canvas.layout import LARGEST_SIDE, Cut, Layout
from intarsia.errors import InvalidRequest
from intarsia.v1 import editing_pb2, jobs_pb2, results_pb2, segmentation_pb2
from orchestrator.api import fields, region
from orchestrator.jobs.job import JobFilter, Kind, State
from orchestrator.models.adapters import AdapterRef
from orchestrator.workflows.edit_region import Edit, EditRegion
from orchestrator.workflows.fill_region import FillRegion
from orchestrator.workflows.picture_request import Collage, Output
from orchestrator.workflows.recipes import RECIPES
from orchestrator.workflows.remove_region import RemoveRegion
from orchestrator.workflows.sampling import MOST_CANDIDATES, Sampling
from orchestrator.workflows.segment_region import SegmentRegion
from orchestrator.workflows.sighting import Sighting
from orchestrator.workflows.track_region import TrackRegion

SCHEDULERS: Mapping[int, str | None] = {
    editing_pb2.SCHEDULER_UNSPECIFIED: None,
    editing_pb2.SCHEDULER_DDIM: "ddim",
    editing_pb2.SCHEDULER_EULER: "euler",
    editing_pb2.SCHEDULER_EULER_ANCESTRAL: "euler_ancestral",
    editing_pb2.SCHEDULER_DPM_SOLVER: "dpm_solver",
    editing_pb2.SCHEDULER_UNIPC: "unipc",
    editing_pb2.SCHEDULER_DDPM: "ddpm",
    editing_pb2.SCHEDULER_PNDM: "pndm",
}
FORMATS: Mapping[int, str | None] = {
    editing_pb2.FORMAT_UNSPECIFIED: None,
    editing_pb2.FORMAT_PNG: "PNG",
    editing_pb2.FORMAT_TIFF: "TIFF",
    editing_pb2.FORMAT_WEBP: "WEBP",
    editing_pb2.FORMAT_JPEG: "JPEG",
}
LAYOUTS: Mapping[int, Layout | None] = {
    editing_pb2.LAYOUT_UNSPECIFIED: None,
    editing_pb2.LAYOUT_FIT: Layout.FIT,
    editing_pb2.LAYOUT_KEEP: Layout.KEEP,
    editing_pb2.LAYOUT_TILES: Layout.TILES,
    editing_pb2.LAYOUT_WHOLE: Layout.WHOLE,
}
VIEWS: Mapping[int, str] = {
    value: name.removeprefix("KIND_").lower() for name, value in results_pb2.View.Kind.items() if value
}
MOST_FURTHER, MOST_ADAPTERS, MOST_SIGHTINGS = 32, 4, 32
STATES: Mapping[int, State] = {
    jobs_pb2.Job.STATE_QUEUED: State.QUEUED,
    jobs_pb2.Job.STATE_RUNNING: State.RUNNING,
    jobs_pb2.Job.STATE_SUCCEEDED: State.SUCCEEDED,
    jobs_pb2.Job.STATE_FAILED: State.FAILED,
    jobs_pb2.Job.STATE_CANCELLED: State.CANCELLED,
    jobs_pb2.Job.STATE_PAUSED: State.PAUSED,
}
KINDS: Mapping[int, Kind | None] = {
    jobs_pb2.Job.KIND_UNSPECIFIED: None,
    jobs_pb2.Job.KIND_INTERACTIVE: Kind.INTERACTIVE,
    jobs_pb2.Job.KIND_BATCH: Kind.BATCH,
}


def segment_region(message: segmentation_pb2.SegmentRegionRequest) -> SegmentRegion:
    """The request of `SegmentRegion`."""
    return SegmentRegion(
        fields.artifact(message.picture, "picture"), region.field_region(message.region), message.strict
    )


def track_region(message: segmentation_pb2.TrackRegionRequest) -> TrackRegion:
    """The request of `TrackRegion`."""
    sightings = message.sightings
    if not 1 <= len(sightings) <= MOST_SIGHTINGS:
        raise InvalidRequest(
            f"sightings must be 1 to {MOST_SIGHTINGS}, not {len(sightings)}: name the frame in which the "
            "object can be seen, and its region there",
            field="sightings",
        )
    for n, (earlier, later) in enumerate(itertools.pairwise(sightings), 1):
        if later.frame <= earlier.frame:
            raise InvalidRequest(
                f"sightings[{n}].frame must be greater than that of the sighting before, {earlier.frame}, "
                f"not {later.frame}; sort them, and take those of one frame together in one region",
                field=f"sightings[{n}].frame",
            )
    end = sightings[0].frame + message.frames
    if message.frames and sightings[-1].frame >= end:
        n = next(n for n, one in enumerate(sightings) if one.frame >= end)
        raise InvalidRequest(
            f"sightings[{n}].frame is {sightings[n].frame}, but {message.frames} frames from the first "
            f"sighting on end before frame {end}; follow more frames, or leave this sighting out",
            field=f"sightings[{n}].frame",
        )
    return TrackRegion(
        clip=fields.artifact(message.clip, "clip"),
        sightings=tuple(_sighting(one, f"sightings[{n}]") for n, one in enumerate(sightings)),
        frames=message.frames or None,
        overlay=message.overlay,
    )


def _sighting(message: segmentation_pb2.Sighting, field: str) -> Sighting:
    fields.reject_if_set(
        message.region.shaping, "feather", f"{field}.region.shaping", why="masks of clips have hard outlines"
    )
    return Sighting(message.frame, region.field_region(message.region, f"{field}.region"))


def edit_region(message: editing_pb2.EditRegionRequest) -> EditRegion:
    """The request of `EditRegion`."""
    if len(message.further_edits) > MOST_FURTHER:
        raise InvalidRequest(
            f"further_edits may hold {MOST_FURTHER} edits and has {len(message.further_edits)}; send several "
            "requests",
            field="further_edits",
        )
    settings = _picture_job(message.job)
    if settings["cut"].layout is Layout.TILES:
        raise InvalidRequest("an edit cannot be done in tiles; choose another layout", field="cut.layout")
    return EditRegion(
        edits=(
            _edit(message, ""),
            *(_edit(further, f"further_edits[{n}].") for n, further in enumerate(message.further_edits)),
        ),
        **settings,
    )


def fill_region(message: editing_pb2.FillRegionRequest) -> FillRegion:
    """The request of `FillRegion`."""
    margin = message.margin if fields.is_set(message, "margin") else None
    return FillRegion(
        target=region.field_region(message.region),
        prompt=fields.text(message.prompt, "prompt", at_most=2000),
        negative_prompt=fields.text(message.negative_prompt, "negative_prompt", at_most=2000),
        margin=None if margin is None else fields.in_range(margin, "margin", 0, 64),
        **_picture_job(message.job),
    )


def remove_region(message: editing_pb2.RemoveRegionRequest) -> RemoveRegion:
    """The request of `RemoveRegion`."""
    settings = _picture_job(message.job)
    if settings["cut"].layout is Layout.TILES:
        raise InvalidRequest(
            "a removal may be done by an editor, which cannot work in tiles; choose another layout",
            field="cut.layout",
        )
    return RemoveRegion(target=region.field_region(message.region), **settings)


def plan_region(message: editing_pb2.PlanRegionRequest) -> EditRegion | FillRegion | RemoveRegion:
    """The request that `PlanRegion` plans."""
    method = message.WhichOneof("request")
    if method is None:
        raise InvalidRequest(f"set {' or '.join(_PLANNED)} to the request to plan", field="request")
    return _PLANNED[method](getattr(message, method))


_PLANNED: Mapping[str, Callable[[Any], EditRegion | FillRegion | RemoveRegion]] = {
    "edit_region": edit_region,
    "fill_region": fill_region,
    "remove_region": remove_region,
}


def _picture_job(message: editing_pb2.PictureJob) -> dict[str, Any]:
    """The settings that edits and fills share. Errors name their fields without `job.`."""
    return {
        "picture": fields.artifact(message.picture, "picture"),
        "candidates": _candidates(message.candidates),
        "sampling": _sampling(message.sampling, message.candidates),
        "adapters": _adapters(message.adapters),
        "cut": _cut(message.cut),
        "match_colours": message.match_colours,
        "output": _output(message.output),
        "preview_every": fields.in_range(message.preview_every, "preview_every", 0, 1000),
        "strict": message.strict,
    }


def _edit(message: editing_pb2.EditRegionRequest | editing_pb2.FurtherEdit, path: str) -> Edit:
    def words(name: str, *, required: bool = False) -> str:
        return fields.text(getattr(message, name), f"{path}{name}", at_most=2000, required=required)

    return Edit(
        target=region.field_region(message.region, f"{path}region"),
        instruction=words("instruction", required=True),
        negative_instruction=words("negative_instruction"),
    )


def _candidates(count: int) -> int:
    return fields.in_range(count or 1, "candidates", 1, MOST_CANDIDATES)


def _adapters(messages: Sequence[editing_pb2.AdapterUse]) -> tuple[AdapterRef, ...]:
    if len(messages) > MOST_ADAPTERS:
        raise InvalidRequest(
            f"at most {MOST_ADAPTERS} adapters act at once, not {len(messages)}", field="adapters"
        )
    found: list[AdapterRef] = []
    for n, message in enumerate(messages):
        name = fields.artifact(message.adapter, f"adapters[{n}].adapter")
        if any(name == earlier.artifact for earlier in found):
            raise InvalidRequest(
                f"adapters[{n}] names the same file as an earlier one; add their strengths up instead",
                field=f"adapters[{n}].adapter",
            )
        strength = message.strength if fields.is_set(message, "strength") else 1.0
        found.append(AdapterRef(name, fields.in_range(strength, f"adapters[{n}].strength", -4, 4)))
    return tuple(found)


def _sampling(message: editing_pb2.Sampling, candidates: int) -> Sampling:
    seed = message.seed if fields.is_set(message, "seed") else None
    if seed is not None and seed + max(candidates, 1) > 2**63:
        raise InvalidRequest(
            f"sampling.seed must be below 2^63, that of the last candidate too, not {seed}",
            field="sampling.seed",
        )
    steps = message.steps if fields.is_set(message, "steps") else None
    for name, value in message.guidance.items():
        fields.in_range(value, f"sampling.guidance.{name[:50]}", 0, 100)
    return Sampling(
        seed=seed,
        steps=None if steps is None else fields.in_range(steps, "sampling.steps", 1, 1000),
        guidance=dict(message.guidance),
        scheduler=fields.enum_value(message.scheduler, "sampling.scheduler", SCHEDULERS),
        reproducible=message.reproducible,
    )


def _cut(message: editing_pb2.Cut) -> Cut:
    context = message.context if fields.is_set(message, "context") else Cut().context
    size = message.working_size if fields.is_set(message, "working_size") else None
    overlap = message.overlap if fields.is_set(message, "overlap") else None
    return Cut(
        context=fields.in_range(context, "cut.context", 0, 8),
        working_size=None if size is None else fields.in_range(size, "cut.working_size", 64, LARGEST_SIDE),
        layout=fields.enum_value(message.layout, "cut.layout", LAYOUTS),
        overlap=None if overlap is None else fields.in_range(overlap, "cut.overlap", 0, 512),
    )


def _output(message: editing_pb2.Output) -> Output:
    quality = message.quality if fields.is_set(message, "quality") else Output().quality
    return Output(
        format=fields.enum_value(message.format, "output.format", FORMATS),
        quality=fields.in_range(quality, "output.quality", 1, 100),
        views=tuple(
            fields.enum_value(kind, f"output.views[{n}]", VIEWS) for n, kind in enumerate(message.views)
        ),
        collage=_collage(message.collage) if message.HasField("collage") else None,
        strip_location=message.strip_location,
    )


def _collage(message: editing_pb2.Collage) -> Collage:
    def spacing(name: str, usual: int) -> int:
        value = getattr(message, name) if fields.is_set(message, name) else usual
        return fields.in_range(value, f"output.collage.{name}", 0, 512)

    field = "output.collage.captions"
    if len(message.captions) not in (0, 3):
        raise InvalidRequest(
            f"{field} must be three, for the original, the region and the result, or none, "
            f"not {len(message.captions)}",
            field=field,
        )
    usual = Spacing()
    return Collage(
        spacing=Spacing(
            spacing("spacing_horizontal", usual.horizontal), spacing("spacing_vertical", usual.vertical)
        ),
        captions=tuple(
            fields.text(text, f"{field}[{n}]", at_most=200) for n, text in enumerate(message.captions)
        ),
    )


def job_filter(message: jobs_pb2.ListJobsRequest) -> JobFilter:
    """The jobs that a list is limited to."""
    states = [fields.enum_value(number, f"states[{n}]", STATES) for n, number in enumerate(message.states)]
    for n, method in enumerate(message.methods):
        if method not in RECIPES:
            raise InvalidRequest(
                f"methods[{n}] must be one of {', '.join(RECIPES)}, not {method[:100]!r}", field="methods"
            )
    return JobFilter(
        frozenset(states), frozenset(message.methods), frozenset(fields.labels(message.labels, "labels"))
    )


def job_kind(number: int, method: str) -> Kind:
    """The kind that a request asks for, or that jobs of its method have."""
    usual = Kind.BATCH if RECIPES[method].long else Kind.INTERACTIVE
    return fields.enum_value(number, "kind", KINDS) or usual
