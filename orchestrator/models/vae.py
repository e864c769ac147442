"""Pictures to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.models.client import ModelClient, family_facts
from orchestrator.runs.run import Run
from orchestrator.triton.tensors import text

FIELDS = {"picture": "cut.working_size", "latents": "cut.working_size"}


@dataclass(frozen=True)
class Vae:
    """Bound to one run."""

    client: ModelClient
    run: Run

    async def digest(self, family: str) -> str:
        """The digest of the weights loaded for a family."""
        return (await family_facts(self.client, family))["weights"]

    async def encode(self, picture: np.ndarray, *, family: str) -> np.ndarray:
        """The most likely latents, (channels, h, w), of a float32 picture (3, height, width) in [-1, 1]."""
        reply = await self.client.infer(
            {"family": text(family), "picture": picture}, deadline=self.run.deadline
        )
        return reply["encoded"]

    async def posterior(self, picture: np.ndarray, *, family: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the latents, (channels, h, w) each, of a picture as above."""
        reply = await self.client.infer(
            {"family": text(family), "picture": picture}, deadline=self.run.deadline
        )
        return reply["encoded"], reply["spread"]

    async def decode(self, latents: np.ndarray, *, family: str) -> np.ndarray:
        """The picture, float32 (3, height, width) in [-1, 1], of latents (channels, h, w)."""
        reply = await self.client.infer(
            {"family": text(family), "latents": latents}, deadline=self.run.deadline
        )
        return reply["decoded"]
