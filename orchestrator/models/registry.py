"""The registry of every model that the orchestrator uses. A new one is added here only, on this side.

Recipes name the model that they use (`workflows/edit_region.py MODEL`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.models import denoiser, sam, text_encoder, vae
from orchestrator.models.denoiser import Denoiser
from orchestrator.models.sam import Sam
from orchestrator.models.text_encoder import TextEncoder
from orchestrator.models.vae import Vae


@dataclass(frozen=True)
class ModelSpec:
    """A model: the class of its stage, and how it is used."""

    stage: type[Any]
    # The fields of a request by the tensors that are made from them, for error messages.
    fields: Mapping[str, str] = field(default_factory=dict)
    # Whether Triton serves it in decoupled mode: one request, many replies.
    decoupled: bool = False
    # Whether everything else is served while its weights are missing.
    optional: bool = False


MODELS: Mapping[str, ModelSpec] = {
    "sam": ModelSpec(Sam, sam.FIELDS),
    "text_encoder": ModelSpec(TextEncoder, text_encoder.FIELDS),
    "vae": ModelSpec(Vae, vae.FIELDS),
    "ip2p_unet": ModelSpec(Denoiser, denoiser.EDIT_FIELDS, decoupled=True),
    "sd2_inpaint": ModelSpec(Denoiser, denoiser.FILL_FIELDS, decoupled=True, optional=True),
}


def denoisers() -> tuple[str, ...]:
    """The names of all denoisers."""
    return tuple(name for name, spec in MODELS.items() if spec.stage is Denoiser)
