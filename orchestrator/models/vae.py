"""Pictures to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.models.families import FamilyModel

FIELDS = {"picture": "cut.working_size", "latents": "cut.working_size"}


@dataclass(frozen=True)
class Vae(FamilyModel):
    """Encodes and decodes. Bound to one run."""

    async def encode(self, picture: np.ndarray, *, family: str) -> np.ndarray:
        """The most likely latents, (channels, h, w), of a float32 picture (3, height, width) in [-1, 1]."""
        return (await self._infer(family, {"picture": picture}))["encoded"]

    async def posterior(self, picture: np.ndarray, *, family: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the latents, (channels, h, w) each, of a picture as above."""
        reply = await self._infer(family, {"picture": picture})
        return reply["encoded"], reply["spread"]

    async def decode(self, latents: np.ndarray, *, family: str) -> np.ndarray:
        """The picture, float32 (3, height, width) in [-1, 1], of latents (channels, h, w)."""
        return (await self._infer(family, {"latents": latents}))["decoded"]
