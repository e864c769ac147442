"""A denoiser of numpy whose every step depends on all before it, and that can go on from checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import grpc
import numpy as np

from orchestrator.triton.tensors import Tensors
from tests.orchestrator.doubles.denoiser import Denoiser
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.weights import check_weights


class Walker(Denoiser):
    """Moves the latents on by what it draws from their bytes: a step left out or taken twice is seen.

    A checkpoint is the digest of the request, the steps done, and the latents.
    """

    def __init__(self) -> None:
        super().__init__()
        self.resumed: list[int] = []  # steps that were done when a request began
        self.takes_checkpoints = True
        self.hold_seed: int | None = None  # the request that is held, None for all
        self.breaks_at: list[int] = []  # steps before which a stream breaks, in this order, once each

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "source" not in inputs:
            async for reply in super().answer(inputs):
                yield reply
            return
        self.requests.append(inputs)
        async with self.requested:
            self.requested.notify_all()
        if self.refusals:
            raise self.refusals.pop(0)
        check_weights(inputs, self.weights)
        steps, every = int(inputs["steps"][0]), int(inputs.get("checkpoint_every", np.zeros(1))[0])
        if not self.takes_checkpoints and ("checkpoint" in inputs or every):
            raise Refused("NOT_READY: this model has no checkpoints")
        done, latents = self._begin(inputs)
        self.resumed.append(done)
        for step in range(done, steps):
            if step == self.hold_at and self.hold_seed in (None, int(inputs["seed"][0])):
                await self._hold()
            if self.breaks_at and step == self.breaks_at[0]:
                self.breaks_at.pop(0)
                raise Refused("Stub process 'ip2p_unet_0_0' is not healthy.", grpc.StatusCode.INTERNAL)
            self.steps += 1
            latents = _step(latents)
            reply: dict[str, np.ndarray] = {"progress": np.array([step + 1, steps], np.int32)}
            if step + 1 == steps:
                reply["latents"] = latents
            elif every and (step + 1) % every == 0:
                reply["checkpoint"] = self._checkpoint(inputs, step + 1, latents)
            yield reply

    def _begin(self, inputs: Tensors) -> tuple[int, np.ndarray]:
        if "checkpoint" not in inputs:
            return 0, inputs["source"] + _noise(int(inputs["seed"][0]), inputs["source"].shape)
        blob = inputs["checkpoint"].tobytes()
        if blob[:32] != self._identity(inputs):
            raise Refused("INVALID_FIELD: checkpoint belongs to another request or other weights")
        return blob[32], np.frombuffer(blob[33:], np.float32).reshape(inputs["source"].shape)

    def _checkpoint(self, inputs: Tensors, done: int, latents: np.ndarray) -> np.ndarray:
        return np.frombuffer(self._identity(inputs) + bytes([done]) + latents.tobytes(), np.uint8)

    def _identity(self, inputs: Tensors) -> bytes:
        request = b"".join(inputs[name].tobytes() for name in ("source", "text", "seed", "steps"))
        return hashlib.sha256(self.weights.encode() + request).digest()


def _step(latents: np.ndarray) -> np.ndarray:
    drawn = int.from_bytes(hashlib.sha256(latents.tobytes()).digest()[:8], "little")
    return (latents * np.float32(0.9) + np.float32(0.1) * _noise(drawn, latents.shape)).astype(np.float32)


def _noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
