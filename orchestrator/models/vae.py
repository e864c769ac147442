"""Pictures to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.models.client import ModelClient
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.tensors import Tensors

FIELDS = {"picture": "cut.working_size", "latents": "cut.working_size"}


@dataclass(frozen=True)
class Vae:
    """Encodes and decodes. Bound to one run."""

    client: ModelClient
    run: Run

    async def encode(self, picture: np.ndarray, weights: WeightsRef) -> np.ndarray:
        """The most likely latents, (channels, h, w), of a float32 picture (3, height, width) in [-1, 1]."""
        return (await self._infer({"picture": picture}, weights))["encoded"]

    async def posterior(self, picture: np.ndarray, weights: WeightsRef) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the latents, (channels, h, w) each, of a picture as above."""
        reply = await self._infer({"picture": picture}, weights)
        return reply["encoded"], reply["spread"]

    async def decode(self, latents: np.ndarray, weights: WeightsRef) -> np.ndarray:
        """The picture, float32 (3, height, width) in [-1, 1], of latents (channels, h, w)."""
        return (await self._infer({"latents": latents}, weights))["decoded"]

    async def _infer(self, inputs: Tensors, weights: WeightsRef) -> dict[str, np.ndarray]:
        return await self.client.infer(inputs, deadline=self.run.deadline, weights=weights)
