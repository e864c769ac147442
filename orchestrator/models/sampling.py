"""The sampling of a denoiser, with every choice made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The names of guidance in requests, and those that models and the parameters in files have for them. A name
# that is not listed is the same everywhere.
_MODEL_NAMES = {"text": "guidance", "picture": "picture_guidance"}
_REQUEST_NAMES = {name: requested for requested, name in _MODEL_NAMES.items()}


def request_names(guidance: Mapping[str, float]) -> dict[str, float]:
    """Guidance by the names of requests, from the names of models."""
    return {_REQUEST_NAMES.get(name, name): value for name, value in guidance.items()}


def model_names(guidance: Mapping[str, float]) -> dict[str, float]:
    """Guidance by the names of models, from the names of requests."""
    return {_MODEL_NAMES.get(name, name): value for name, value in guidance.items()}


@dataclass(frozen=True)
class ResolvedSampling:
    """Everything that decides how noise becomes a picture. `guidance` has every number that the model takes,
    by name."""

    seed: int
    steps: int
    guidance: Mapping[str, float]
    scheduler: str
    reproducible: bool
