"""The settings that edits and fills of a picture share: the request as it was sent, and resolved."""

from __future__ import annotations

from dataclasses import dataclass, field

from canvas.collage import Spacing
from canvas.layout import Cut
from orchestrator.models.adapters import AdapterRef
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.workflows.sampling import Sampling


@dataclass(frozen=True)
class Collage:
    """A comparison: a row for every candidate. Spaces are pixels; captions are none, or three."""

    spacing: Spacing = field(default_factory=Spacing)
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """The format of the result, PNG, TIFF, WEBP or JPEG, and what is stored beside it.

    Without a format it is the picture's own, if that is lossless.
    """

    format: str | None = None
    quality: int = 95
    views: tuple[str, ...] = ()
    collage: Collage | None = None


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """The settings that edits and fills share, as the client sent them."""

    picture: str
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    adapters: tuple[AdapterRef, ...] = ()
    cut: Cut = field(default_factory=Cut)
    match_colours: bool = False
    output: Output = field(default_factory=Output)
    preview_every: int = 0


@dataclass(frozen=True)
class PinnedWeights:
    """The denoiser that a request was resolved for: its weights, and the sizes they were made for.

    `family` names the text encoder and the VAE that belong to it. `size`, the longer side of a sheet, and
    `multiple`, of which its sides are multiples, are in pixels; `factor` is in pixels to a latent.
    """

    model: str
    family: str
    digest: str
    size: int
    multiple: int
    factor: int

    @classmethod
    def of(cls, facts: ModelFacts, model: str, family: str) -> PinnedWeights:
        """The weights that these facts describe."""
        return cls(model, family, facts.digest, facts.size, facts.multiple, facts.factor)


@dataclass(frozen=True, kw_only=True)
class ResolvedRequest:
    """A request in which nothing is left open: whenever it runs with these weights, it makes the same
    pictures. `sampling` is that of the first candidate."""

    request: PictureRequest
    sampling: ResolvedSampling
    weights: PinnedWeights
