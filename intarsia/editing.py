"""Requests to edit and to fill: from keyword arguments to the wire. What is absent is left to the server."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from google.protobuf.duration_pb2 import Duration

from intarsia import errors
from intarsia.region import put
from intarsia.v1 import editing_pb2 as v1
from intarsia.v1 import jobs_pb2

if TYPE_CHECKING:
    from intarsia.artifacts import Source
    from intarsia.v1.artifacts_pb2 import Artifact

SCHEDULERS = {name.removeprefix("SCHEDULER_").lower(): value for name, value in v1.Scheduler.items() if value}
FORMATS = {name.removeprefix("FORMAT_").lower(): value for name, value in v1.Format.items() if value}
LAYOUTS = {name.removeprefix("LAYOUT_").lower(): value for name, value in v1.Layout.items() if value}
VIEWS = {name.removeprefix("KIND_").lower(): value for name, value in jobs_pb2.View.Kind.items() if value}

Request = v1.EditRegionRequest | v1.FillRegionRequest


class Settings(TypedDict, total=False):
    """How a region is worked on. Whatever is left out is the server's choice, told in the manifest."""

    seed: int | None
    """Chooses the noise. Drawn if absent."""
    steps: int | None
    """Denoising steps."""
    guidance: float | None
    """How strongly the words steer, in [0, 100]."""
    picture_guidance: float | None
    """How strongly the source holds, in [0, 100]; edits only."""
    scheduler: str | None
    """One of the words of `SCHEDULERS`, for example `euler_ancestral`."""
    reproducible: bool
    """The same bytes for the same seed under any load."""
    candidates: int | None
    """How many pictures to make, with consecutive seeds."""
    adapters: Mapping[str, float] | Sequence[Source | Artifact] | Source | Artifact | None
    """An adapter file, or the name of a stored one, or several, at strength 1; or a mapping to strengths."""
    context: float | None
    """Surroundings shown to the model, as a share of the region's size."""
    working_size: int | None
    """The longer side a crop is worked at, or that of a tile, in pixels."""
    layout: str | None
    """`fit`, `keep`, `tiles` (fills only) or `whole`."""
    overlap: int | None
    """What neighbouring tiles share, in pixels."""
    margin: int | None
    """How far around the region is drawn anew and not laid back, in working pixels; fills only."""
    match_colours: bool
    """Brings the patch to the colours around the region."""
    format: str | None
    """`png`, `tiff`, `webp` or `jpeg`."""
    quality: int | None
    """Of lossy formats, in [1, 100]."""
    views: Iterable[str]
    """Also made: `side_by_side`, `overlay`, `blank`, `layer`."""
    collage: bool
    """Also made: a comparison, a row for every candidate."""
    spacing: tuple[int, int] | None
    """White between the panels and between the rows of the collage, in pixels."""
    captions: Sequence[str]
    """Three, written under the panels of the collage; `{seed}` stands for the row's seed."""
    preview_every: int
    """Makes a preview after every so many steps."""
    time_limit: float | timedelta | None
    """Gives up after so many seconds."""
    request_id: str | None
    """Repeating one returns the first job. Drawn if absent."""


_PATHS = {
    "seed": "sampling.seed",
    "steps": "sampling.steps",
    "guidance": "sampling.guidance",
    "picture_guidance": "sampling.picture_guidance",
    "scheduler": "sampling.scheduler",
    "reproducible": "sampling.reproducible",
    "candidates": "candidates",
    "context": "cut.context",
    "working_size": "cut.working_size",
    "layout": "cut.layout",
    "overlap": "cut.overlap",
    "margin": "margin",
    "match_colours": "match_colours",
    "format": "output.format",
    "quality": "output.quality",
    "preview_every": "preview_every",
}
_WORDS = {"scheduler": SCHEDULERS, "layout": LAYOUTS, "format": FORMATS}
# Set elsewhere: files are uploaded first, and these are more than a field.
_APART = {"adapters", "views", "collage", "spacing", "captions", "time_limit", "request_id"}


def edit_region_request(
    instruction: str, negative_instruction: str = "", **settings: Any
) -> v1.EditRegionRequest:
    """A request without its picture, region and adapters."""
    request = v1.EditRegionRequest()
    put(request, "instruction", instruction, "instruction")
    put(request, "negative_instruction", negative_instruction, "negative_instruction")
    if settings.get("margin") is not None:
        raise errors.InvalidRequest("a margin is drawn by fills only; leave it out", field="margin")
    _set(request, settings)
    return request


def fill_region_request(prompt: str = "", negative_prompt: str = "", **settings: Any) -> v1.FillRegionRequest:
    """A request without its picture, region and adapters."""
    request = v1.FillRegionRequest()
    put(request, "prompt", prompt, "prompt")
    put(request, "negative_prompt", negative_prompt, "negative_prompt")
    _set(request, settings)
    return request


def _set(request: Request, settings: Mapping[str, Any]) -> None:
    unknown = settings.keys() - _PATHS.keys() - _APART
    if unknown:
        raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
    for name, path in _PATHS.items():
        value = settings.get(name)
        if value is None:
            continue
        if name in _WORDS:
            value = _number(value, _WORDS[name], path)
        group, _, field = path.rpartition(".")
        put(getattr(request, group) if group else request, field, value, path)
    if settings.get("candidates") == 0:
        raise errors.InvalidRequest(
            "no candidates make no picture; ask for 1 or more, or leave it out", field="candidates"
        )
    request.output.views.extend(_number(view, VIEWS, "output.views") for view in settings.get("views") or ())
    captions, spacing = settings.get("captions") or (), settings.get("spacing")
    if settings.get("collage") or captions or spacing is not None:
        request.output.collage.SetInParent()
        request.output.collage.captions.extend(captions)
        if spacing is not None:
            names = ("spacing_horizontal", "spacing_vertical")
            for field, value in zip(names, spacing, strict=True):
                put(request.output.collage, field, value, f"output.collage.{field}")
    if settings.get("time_limit") is not None:
        request.time_limit.CopyFrom(duration(settings["time_limit"]))
    request.request_id = settings.get("request_id") or str(uuid.uuid4())


def _number(word: str, words: Mapping[str, int], field: str) -> int:
    if word not in words:
        raise errors.InvalidRequest(f"unknown {field} {word!r}; one of: {', '.join(words)}", field=field)
    return words[word]


def duration(limit: float | timedelta) -> Duration:
    """A time limit as it goes over the wire."""
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else float(limit)
    if not 0 < seconds < 1e9:
        raise errors.InvalidRequest(
            f"time_limit must be a positive number of seconds, not {limit!r}", field="time_limit"
        )
    length = Duration()
    length.FromNanoseconds(round(seconds * 1e9))
    return length
