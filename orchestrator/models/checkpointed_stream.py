"""The stream of one request to a denoiser, which goes on from checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import numpy as np

from intarsia.errors import InvalidRequest, ModelDown, NotReady
from orchestrator.deadline import Deadline
from orchestrator.runs.run import Work
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import Tensors

log = logging.getLogger(__name__)

# A stream that broke is begun again so often without a new checkpoint; then the request is the likely cause.
_AGAIN = 3

OnPreview = Callable[[np.ndarray], None]


class Checkpoints(Protocol):
    """The checkpoints of one trajectory: opaque bytes, uint8, that its model goes on from."""

    every: int  # steps from one to the next, 0 for no new ones

    async def checkpoint(self) -> np.ndarray | None:
        """The last one that was kept."""

    async def keep_checkpoint(self, checkpoint: np.ndarray) -> None:
        """Keeps one in place of the one before."""

    async def drop_checkpoint(self) -> None:
        """Drops one that is of no use."""


class CheckpointedStream:
    """The replies to one request. What broke off goes on from the last checkpoint, or begins again.

    Every step is reported to `work`. `preview` is called with estimates of the clean latents. A checkpoint
    that the model refuses, since it is of other weights or another request, is dropped.
    """

    def __init__(
        self, work: Work, preview: OnPreview | None, checkpoints: Checkpoints | None, deadline: Deadline
    ) -> None:
        self._work, self._preview, self._checkpoints = work, preview, checkpoints
        self._deadline = deadline
        self._begun = False  # whether a reply has come since it was begun, or begun again
        self._breaks = 0  # since the last checkpoint

    async def latents(self, lease: Lease, inputs: Tensors) -> np.ndarray:
        """Reads from the last checkpoint on, else from the beginning, and keeps new ones if it may."""
        checkpoints = self._checkpoints
        if checkpoints is None:
            return await self._read(lease, inputs)
        every = {"checkpoint_every": np.array([checkpoints.every], np.int32)} if checkpoints.every else {}
        last = await checkpoints.checkpoint()
        if last is not None:
            try:
                return await self._read(lease, {**inputs, **every, "checkpoint": last})
            except (InvalidRequest, NotReady) as error:
                _check_refused(error)
                log.warning("begins with the first step, since the checkpoint is refused: %s", error)
            await checkpoints.drop_checkpoint()
        if every:
            try:
                return await self._read(lease, {**inputs, **every})
            except (InvalidRequest, NotReady) as error:
                _check_refused(error)
                log.warning("no checkpoints are made: %s", error)
        return await self._read(lease, inputs)

    def begin_again(self, error: ModelDown) -> None:
        """Allows to begin again a stream that this error broke off in the middle; else raises the error."""
        self._breaks += 1
        if not self._begun or self._breaks > _AGAIN:
            raise error
        self._begun = False
        log.warning("a stream broke off in the middle; goes on when its model is back: %s", error)
        again = "goes on from its last checkpoint" if self._checkpoints is not None else "begins again"
        why = error.message.split(";")[0]
        self._work.held_up(f"{why}; this stage {again} when the model is back ({self._breaks} of {_AGAIN})")

    async def _read(self, lease: Lease, inputs: Tensors) -> np.ndarray:
        latents = None
        async with aclosing(lease.stream(inputs, deadline=self._deadline)) as replies:
            async for reply in replies:
                done, of = (int(number) for number in reply["progress"])
                self._begun = True
                self._work.stepped(done, of)
                lease.progress(done, of)
                if self._checkpoints is not None and "checkpoint" in reply and done < of:
                    await self._checkpoints.keep_checkpoint(reply["checkpoint"])
                    self._breaks = 0
                if "latents" not in reply:
                    continue
                if done == of:
                    latents = reply["latents"]
                elif self._preview is not None:
                    self._preview(reply["latents"])
        if latents is None:
            raise ModelDown(f"{lease.endpoint.model} ended its stream before the last step; try again")
        return latents


def _check_refused(error: InvalidRequest | NotReady) -> None:
    """Raises the error again unless it may be a model's that does not take this checkpoint, or any."""
    if isinstance(error, InvalidRequest) and error.field not in ("checkpoint", "checkpoint_every"):
        raise error
