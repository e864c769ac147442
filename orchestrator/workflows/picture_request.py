"""The settings that edits and fills of a picture share: the request as it was sent, and resolved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from canvas.collage import Spacing
from canvas.layout import Cut
from orchestrator.models.adapters import AdapterRef
from orchestrator.models.facts import Facts, ModelFacts
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.models.weights import WeightsRef
from orchestrator.workflows.sampling import Sampling
from orchestrator.workflows.selection import FieldRegion, needs_sam


@dataclass(frozen=True)
class Collage:
    """A comparison: a row for every candidate. Spaces are pixels; captions are none, or three."""

    spacing: Spacing = field(default_factory=Spacing)
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """The format of the result, PNG, TIFF, WEBP or JPEG, and what is stored beside it.

    Without a format it is the picture's own, if that is lossless. `strip_location` leaves out where the
    picture was taken.
    """

    format: str | None = None
    quality: int = 95
    views: tuple[str, ...] = ()
    collage: Collage | None = None
    strip_location: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """The settings that edits and fills share, as the client sent them."""

    closes_seams: ClassVar[bool] = False  # whether patches are bent to meet the picture around them

    picture: str
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    adapters: tuple[AdapterRef, ...] = ()
    cut: Cut = field(default_factory=Cut)
    match_colours: bool = False
    output: Output = field(default_factory=Output)
    preview_every: int = 0
    strict: bool = False  # refuses regions with doubts about them


@dataclass(frozen=True)
class PinnedWeights:
    """The weights of every model that a request was resolved for, and the sizes that the denoiser's were
    made for.

    `model` is the denoiser; `sam` is None if no region needs it. `size`, the longer side of a sheet,
    `multiple`, of which its sides are multiples, and the `sizes` at which the denoiser keeps what its card
    promises are in pixels; `factor` is in pixels to a latent.
    """

    model: str
    denoiser: WeightsRef
    text_encoder: WeightsRef
    vae: WeightsRef
    sam: WeightsRef | None
    size: int
    multiple: int
    factor: int
    sizes: tuple[int, ...] = ()
    path: str = ""  # by which the model computes reproducible requests
    licences: Mapping[str, str] = field(default_factory=dict)  # the terms of the weights, by model

    @classmethod
    def of(cls, facts: Facts, model: str, family: str) -> PinnedWeights:
        """The weights that these facts describe, of the models that are among them; `family` names the text
        encoder and the VAE that belong to the denoiser."""
        denoiser = ModelFacts.read(facts[model])
        return cls(
            model=model,
            denoiser=WeightsRef(denoiser.digest),
            text_encoder=WeightsRef.published("text_encoder", facts["text_encoder"], family),
            vae=WeightsRef.published("vae", facts["vae"], family),
            sam=WeightsRef.published("sam", facts["sam"]) if "sam" in facts else None,
            size=denoiser.size,
            multiple=denoiser.multiple,
            factor=denoiser.factor,
            sizes=denoiser.sizes,
            path=denoiser.path,
            licences={
                name: "; ".join(licences)
                for name in (model, "sam")
                if (licences := facts.get(name, {}).get("licences"))
            },
        )

    @property
    def digests(self) -> dict[str, str]:
        """The digests of the weights by model."""
        refs = {
            "sam": self.sam,
            "text_encoder": self.text_encoder,
            "vae": self.vae,
            self.model: self.denoiser,
        }
        return {model: ref.digest for model, ref in refs.items() if ref is not None}


@dataclass(frozen=True, kw_only=True)
class ResolvedRequest(ABC):
    """A request in which nothing is left open: whenever it runs with these weights, it makes the same
    pictures. `sampling` is that of the first candidate."""

    request: PictureRequest
    sampling: ResolvedSampling
    weights: PinnedWeights

    @property
    @abstractmethod
    def equal_prompts(self) -> bool:
        """Whether what is asked for and what is not are the same words everywhere."""


def required_models(denoiser: str, targets: Iterable[FieldRegion]) -> tuple[str, ...]:
    """The models that make these regions anew with a denoiser."""
    finds = any(needs_sam(target) for target in targets)
    return (denoiser, "text_encoder", "vae", *(("sam",) if finds else ()))
