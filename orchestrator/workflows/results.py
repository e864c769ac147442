"""Results of edits and fills, and the record of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from canvas.box import PixelBox
from canvas.layout import Sheet
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.workflows.instance import Instance


@dataclass(frozen=True)
class View:
    """Another picture of a result: `side_by_side`, `overlay`, `blank` or `layer`."""

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
    """A region of the request, and its layout for the model.

    Its outline was moved outward by `grow` pixels and is softened inward over `feather`.
    """

    region: Instance
    words: str
    crop: PixelBox
    sheets: tuple[Sheet, ...]
    grow: float = 0.0
    feather: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """The settings a result was made with, and the time it took, summed over candidates and tiles."""

    sampling: ResolvedSampling
    crop: PixelBox
    working_width: int
    working_height: int
    stage_seconds: Mapping[str, float]
    weights: Mapping[str, str]
    adapters: Mapping[str, float]
    notes: tuple[str, ...]
    path: str = ""  # of a reproducible request, by which its passes were computed
    licences: Mapping[str, str] = field(default_factory=dict)  # of the weights, by model
    model: str = ""  # that drew the regions


@dataclass(frozen=True)
class EditResult:
    """The artifacts of a result. `picture` is that of the first candidate; `mask` covers all regions."""

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
    """The work and the cost of a request. `seconds` are those of the network when nothing else runs on it."""

    parts: tuple[Part, ...]
    steps: int
    evaluations: int
    candidates: int
    seconds: float
    notes: tuple[str, ...]
