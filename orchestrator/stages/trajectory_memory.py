"""The memory of one trajectory: its checkpoint while it is under way, and its latents once it is over.

Both are artifacts; what is remembered are their names. Only long stages keep any: a short one is made again
faster than its checkpoints are stored.
"""

from __future__ import annotations

import io
import logging
import math
from dataclasses import dataclass

import numpy as np

from intarsia.errors import Busy, DataLoss, NotFound
from orchestrator.stages.memory import Recollection
from store.artifact import ArtifactStore, Origin

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/octet-stream"
# Checkpoints wait in the model's memory for a slow reader; it takes no request for many more.
_MOST_CHECKPOINTS = 40


@dataclass(frozen=True)
class CheckpointLimits:
    """When checkpoints are kept: for stages that are expected to last more than `after` seconds, about every
    `every` seconds."""

    after: float = 30.0
    every: float = 10.0


@dataclass(frozen=True)
class ExpectedTime:
    """The seconds that the network is expected to take for a stage, and for one step of it."""

    stage: float
    step: float

    def steps_between(self, limits: CheckpointLimits, steps: int) -> int:
        """The number of steps from one checkpoint to the next, 0 for no checkpoints."""
        every = max(1, round(limits.every / self.step), math.ceil(steps / _MOST_CHECKPOINTS))
        return every if every < steps else 0


SHORT = ExpectedTime(0.0, 0.0)


@dataclass(frozen=True)
class _StoredLatents:
    latents: str


@dataclass(frozen=True)
class _StoredCheckpoint:
    checkpoint: str


class TrajectoryMemory:
    """What is kept of one trajectory, below a key of its own."""

    def __init__(self, key: str, memory: Recollection, store: ArtifactStore) -> None:
        self._latents, self._checkpoint = f"{key} latents", f"{key} checkpoint"
        self._memory, self._store = memory, store
        self._keeps = False
        self.every = 0  # steps between checkpoints; 0 for none

    def expect(self, time: ExpectedTime, steps: int, limits: CheckpointLimits) -> None:
        """Keeps what comes if the stage is expected to be long."""
        self._keeps = time.stage > limits.after
        self.every = time.steps_between(limits, steps) if self._keeps else 0

    async def latents(self) -> np.ndarray | None:
        """The latents that an earlier run of the job came to, None if it did not."""
        stored = await self._memory.recall(self._latents, _StoredLatents)
        data = None if stored is None else await self._load(stored.latents)
        return None if data is None else np.load(io.BytesIO(data), allow_pickle=False)

    async def finish(self, latents: np.ndarray) -> None:
        """Keeps the latents, and drops the checkpoint that led to them."""
        if self._keeps:
            data = io.BytesIO()
            np.save(data, latents, allow_pickle=False)
            if (name := await self._put(data.getvalue())) is None:
                return
            await self._memory.remember(self._latents, _StoredLatents(name))
        await self.drop_checkpoint()

    async def checkpoint(self) -> np.ndarray | None:
        """The last checkpoint, uint8, None if there is none."""
        stored = await self._memory.recall(self._checkpoint, _StoredCheckpoint)
        data = None if stored is None else await self._load(stored.checkpoint)
        return None if data is None else np.frombuffer(data, np.uint8)

    async def keep_checkpoint(self, checkpoint: np.ndarray) -> None:
        """Keeps a checkpoint in place of the one before."""
        if (name := await self._put(checkpoint.tobytes())) is not None:
            await self._memory.remember(self._checkpoint, _StoredCheckpoint(name))

    async def drop_checkpoint(self) -> None:
        """Drops the checkpoint, if there is one."""
        await self._memory.forget(self._checkpoint)

    async def _put(self, data: bytes) -> str | None:
        """The artifact of these bytes, None if there is no room for it: to make a part of the trajectory
        again is better than a failed job."""
        try:
            return (await self._store.put_bytes(data, _MEDIA_TYPE, origin=Origin.INTERMEDIATE)).name
        except Busy as error:
            log.warning("a part of a trajectory is not kept: %s", error)
            return None

    async def _load(self, name: str) -> bytes | None:
        try:
            return await self._store.load(name)
        except (NotFound, DataLoss) as error:
            log.warning("what was kept of a trajectory is gone, and it is made again: %s", error)
            return None
