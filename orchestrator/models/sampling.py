"""The sampling of a denoiser, with every choice made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResolvedSampling:
    """Everything that decides how noise becomes a picture."""

    seed: int
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    reproducible: bool
