"""A VAE of numpy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from orchestrator.triton.tensors import Tensors, text
from tests.orchestrator.doubles.weights import check_weights, families

FACTOR = 8


class Vae:
    """Means over cells of 8 x 8 pixels."""

    def __init__(self) -> None:
        self.decoded, self.weights = 0, "0a" * 32

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            yield {"facts": text({"families": families(self.weights)})}
            return
        check_weights(inputs, self.weights)
        if "latents" not in inputs:
            sheet = inputs["pixels"] / 127.5 - 1 if "pixels" in inputs else inputs["picture"]
            _, height, width = sheet.shape
            cells = sheet.reshape(3, height // FACTOR, FACTOR, width // FACTOR, FACTOR)
            means = cells.mean(axis=(2, 4), dtype=np.float32)
            encoded = np.concatenate([means, np.zeros_like(means[:1])])
            yield {"encoded": encoded, "spread": np.full_like(encoded, 0.01)}
        else:
            self.decoded += 1
            decoded = inputs["latents"][:3].repeat(FACTOR, axis=1).repeat(FACTOR, axis=2)
            if "depth" in inputs:
                yield {"pixels": np.rint(np.clip(decoded / 2 + 0.5, 0, 1) * 255).astype(np.uint8)}
            else:
                yield {"decoded": decoded}
