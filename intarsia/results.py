"""The server's replies as values of plain Python: results, plans, jobs and descriptions.

Names are those of the protos. `F` is the handle of a stored file: `ResultFile` of a `Client`,
`AsyncResultFile` of an `AsyncClient`. Coordinates are pixels of the upright picture; right and bottom edges
are exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from intarsia import errors

if TYPE_CHECKING:
    from intarsia.files import AsyncResultFile, ResultFile

F = TypeVar("F", bound="AsyncResultFile | ResultFile")


@dataclass(frozen=True)
class ArtifactInfo:
    """The description of stored bytes. `name` is `artifacts/` and their SHA-256.

    `origin` is `upload`, `result`, `intermediate` or `preview`. After `expire_time` the server may remove
    them; it is None while something keeps them: they are `pinned`, or a job refers to them.
    """

    name: str
    size_bytes: int
    media_type: str
    create_time: datetime | None = None
    pinned: bool = False
    expire_time: datetime | None = None
    origin: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Bounds:
    """A box in pixels."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class FoundRegion(Generic[F]):
    """A region that was found: its mask (white inside), score in [0, 1], box, and area in pixels.

    `stability`, in [0, 1], says how little the mask depends on where the model's map is cut off.
    """

    mask: F
    score: float
    box: Bounds
    area: int
    stability: float = 1.0


@dataclass(frozen=True)
class SegmentResult(Generic[F]):
    """The candidates by falling score, and the region after choice and shaping. Sizes are the picture's."""

    instances: tuple[FoundRegion[F], ...]
    region: FoundRegion[F]
    width: int
    height: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkedSheet:
    """A piece of the picture, and the size in pixels that the model worked at."""

    box: Bounds
    working_width: int
    working_height: int


@dataclass(frozen=True)
class RegionPart(Generic[F]):
    """A region of a request: its crop, and the sheets (one, or one per tile) that the model worked on. Its
    outline was moved outward by `grow` pixels and softened inward over `feather`."""

    region: FoundRegion[F]
    instruction: str
    crop: Bounds
    sheets: tuple[WorkedSheet, ...]
    grow: float = 0.0
    feather: float = 0.0


@dataclass(frozen=True)
class RequestPlan(Generic[F]):
    """The sheets and the cost of a request.

    `denoising` is the time of the network without other requests. `evaluations` of the network are needed
    per step.
    """

    parts: tuple[RegionPart[F], ...]
    steps: int
    evaluations: int
    candidates: int
    denoising: timedelta
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResultManifest:
    """Everything that was decided for a result: the same request with these values makes the same picture.

    `guidance` is by name: `text` and, of edits, `picture`. `stage_times` are added up over candidates and
    tiles. `weights` are SHA-256 digests by model, `adapters` strengths by artifact. `path` says how passes of
    a reproducible request were computed: another path gives other bytes. `licences` are the terms of
    weights by model, where the weights name any. `model` drew the regions.
    """

    seed: int
    steps: int
    guidance: Mapping[str, float]
    scheduler: str
    reproducible: bool
    crop: Bounds
    working_width: int
    working_height: int
    stage_times: Mapping[str, timedelta] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    path: str = ""
    licences: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True)
class CandidateResult(Generic[F]):
    """One of several pictures of a request, its seed, and its views by kind, such as `layer`."""

    picture: F
    seed: int
    views: Mapping[str, F] = field(default_factory=dict)


@dataclass(frozen=True)
class PictureResult(Generic[F]):
    """The result of an edit or a fill.

    `picture` is that of the first candidate, `mask` covers all regions, `region` is the first region.
    `views` are those that all candidates share, by kind.
    """

    picture: F
    mask: F
    region: FoundRegion[F]
    manifest: ResultManifest
    candidates: tuple[CandidateResult[F], ...] = ()
    parts: tuple[RegionPart[F], ...] = ()
    views: Mapping[str, F] = field(default_factory=dict)
    collage: F | None = None

    def save(self, path: str | PathLike[str]) -> Any:
        """Writes the picture to a file, and returns its path; to be awaited with an `AsyncClient`."""
        return self.picture.save(path)


@dataclass(frozen=True)
class TrackResult(Generic[F]):
    """A region followed through a clip: masks (FFV1 in Matroska), track (JSON lines), overlay (MP4).

    `seen` is the number of frames in which the region covers a pixel.
    """

    masks: F
    track: F
    overlay: F | None
    frames: int
    seen: int
    width: int
    height: int
    stage_times: Mapping[str, timedelta] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def save(self, path: str | PathLike[str]) -> Any:
        """Writes the masks to a file, and returns its path; to be awaited with an `AsyncClient`."""
        return self.masks.save(path)


class JobState(str, Enum):
    """The states of a job; each equals its word, for example `"running"`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"

    def __str__(self) -> str:
        return self.value

    @property
    def finished(self) -> bool:
        """True if the job has ended, in whatever way."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobProgress(Generic[F]):
    """The progress of a job: its stage, steps of that stage, and the fraction of the whole in [0, 1].

    `steps` is 0 if the stage has none. `remaining` is an estimate. `preview` is the latest one, a JPEG.
    `note` says what holds the job up, and is empty while it goes on.
    """

    stage: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    remaining: timedelta | None = None
    preview: F | None = None
    note: str = ""


@dataclass(frozen=True)
class JobStatus(Generic[F]):
    """A job at one moment. `error` is set if it failed or was cancelled, `result` if it succeeded, or if it
    was cancelled and what was finished was kept.

    `kind` is `interactive` or `batch`. `attempt` counts how often the job has begun to run.
    """

    name: str
    method: str
    state: JobState
    progress: JobProgress[F]
    error: errors.IntarsiaError | None = None
    result: PictureResult[F] | TrackResult[F] | None = None
    request_id: str = ""
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    kind: str = ""
    priority: int = 0
    labels: tuple[str, ...] = ()
    attempt: int = 0


@dataclass(frozen=True)
class AdapterReport:
    """An adapter as a model reads it.

    `kind` is `lora` or `weights`, `layout` the format of its keys, `rank` the greatest of a LoRA, `matched`
    the number of layers it changes. Of the keys that the model does not know, `unexpected` has the first 32.
    """

    kind: str
    layout: str
    rank: int
    matched: int
    unexpected: tuple[str, ...]
    unexpected_count: int
    parameters: int
    weights: str
    metadata: Mapping[str, str] = field(default_factory=dict)
