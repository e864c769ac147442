"""Pictures to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.models.client import ModelClient
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.tensors import Tensors

FIELDS = {name: "cut.working_size" for name in ("picture", "pixels", "latents")}
_DEPTH = np.array([8], np.uint8)


@dataclass(frozen=True)
class Vae:
    """Encodes and decodes. Bound to one run."""

    client: ModelClient
    run: Run

    async def encode(self, picture: np.ndarray, weights: WeightsRef) -> np.ndarray:
        """The most likely latents, (channels, h, w), of a picture (3, height, width), uint8 or float32 in
        [-1, 1]."""
        name = "pixels" if picture.dtype == np.uint8 else "picture"
        return (await self._infer({name: picture}, weights))["encoded"]

    async def posterior(self, picture: np.ndarray, weights: WeightsRef) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the latents, (channels, h, w) each, of a float32 picture in [-1, 1]."""
        reply = await self._infer({"picture": picture}, weights)
        return reply["encoded"], reply["spread"]

    async def decode(self, latents: np.ndarray, weights: WeightsRef) -> np.ndarray:
        """The picture, float32 (3, height, width) in [-1, 1], of latents (channels, h, w)."""
        return (await self._infer({"latents": latents}, weights))["decoded"]

    async def decode_pixels(self, latents: np.ndarray, weights: WeightsRef) -> np.ndarray:
        """The picture, uint8 (3, height, width), of latents (channels, h, w)."""
        return (await self._infer({"latents": latents, "depth": _DEPTH}, weights))["pixels"]

    async def _infer(self, inputs: Tensors, weights: WeightsRef) -> dict[str, np.ndarray]:
        return await self.client.infer(inputs, deadline=self.run.deadline, weights=weights)
