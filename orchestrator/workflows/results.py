"""What edits and fills make, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from canvas.box import PixelBox
from canvas.layout import Sheet
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.workflows.segment_region import Instance


@dataclass(frozen=True)
class View:
    """Another way to look at what was made: `side_by_side`, `overlay`, `blank` or `layer`."""

    kind: str
    picture: str


@dataclass(frozen=True)
class Candidate:
    """One of several pictures made with consecutive seeds."""

    picture: str
    seed: int
    views: tuple[View, ...] = ()


@dataclass(frozen=True)
class Part:
    """A region of the request, and how it was laid out for the model."""

    region: Instance
    words: str
    crop: PixelBox
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Manifest:
    """What was decided on the way, and what it cost. Times are added up over candidates and tiles."""

    noise: ResolvedSampling
    crop: PixelBox
    working_width: int
    working_height: int
    stage_seconds: Mapping[str, float]
    weights: Mapping[str, str]
    adapters: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EditResult:
    """Where the results are kept. `picture` is that of the first candidate; `mask` covers all regions."""

    picture: str
    mask: str
    region: Instance
    manifest: Manifest
    candidates: tuple[Candidate, ...]
    parts: tuple[Part, ...]
    views: tuple[View, ...] = ()
    collage: str = ""


@dataclass(frozen=True)
class Plan:
    """What a request would do and cost. `seconds` are those of the network, with nobody beside it."""

    parts: tuple[Part, ...]
    steps: int
    questions: int
    candidates: int
    seconds: float
    notes: tuple[str, ...]
