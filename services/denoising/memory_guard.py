"""Passes that run out of memory: what is kept is given back, and they are tried once more with fewer rows."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from services.acceleration.passes import Passes
from services.denoising.batch import predict_batch
from services.denoising.family import Family
from services.denoising.memory_budget import device_memory
from services.denoising.trajectory import Trajectory
from services.refusal import Refusal

log = logging.getLogger(__name__)

_CAUTIOUS_PASSES = 256  # after a shortage, before a pass as large is tried again
_WANTED = re.compile(r"Tried to allocate ([\d.]+ \w+)")  # in PyTorch's message


class MemoryGuard:
    """Predicts for batches as far as the device's memory goes."""

    def __init__(self, family: Family, passes: Passes) -> None:
        self._family, self._passes = family, passes
        self._most_work = 0  # of all rows of a pass, after a shortage; not limited once no pass is cautious
        self._cautious = 0

    def most_rows(self, work: int) -> int | None:
        """The most rows of this work that a pass should have; None if no shortage was seen lately."""
        return max(self._most_work // work, 1) if self._cautious else None

    def predict(self, batch: Sequence[Trajectory]) -> list[list[Tensor] | Refusal]:
        """The predictions for each trajectory's rows; the refusal of one that the memory is too small for.

        After a shortage each trajectory has a pass of its own, and a single one as many as two. A
        reproducible one has the same pass again: rows in another number would change its bytes.
        """
        self._cautious = max(self._cautious - 1, 0)
        leader = batch[0]
        rows = sum(len(trajectory.request.branches) for trajectory in batch)
        most_rows = None if leader.request.reproducible else self.most_rows(leader.work)
        try:
            return list(predict_batch(self._family, batch, most_rows))
        except torch.OutOfMemoryError as shortage:
            log.warning("a pass ran out of memory and is tried again with fewer rows: %s", shortage)
        # Only here is the traceback gone, and with it the tensors of the pass.
        self._release()
        fewer = max(min(rows, most_rows or rows) // 2, 1)
        self._most_work, self._cautious = fewer * leader.work, _CAUTIOUS_PASSES
        if len(batch) > 1 or leader.request.reproducible:
            return [self._predict_alone(trajectory) for trajectory in batch]
        return [self._predict_alone(leader, most_rows=fewer)]

    def _predict_alone(self, trajectory: Trajectory, most_rows: int | None = None) -> list[Tensor] | Refusal:
        try:
            return predict_batch(self._family, [trajectory], most_rows)[0]
        except torch.OutOfMemoryError as shortage:
            refusal = self._refusal(trajectory, str(shortage))
        self._release()
        return refusal

    def _release(self) -> None:
        self._passes.clear()
        if self._family.device.type == "cuda":
            torch.cuda.empty_cache()

    def _refusal(self, trajectory: Trajectory, shortage: str) -> Refusal:
        found, memory = _WANTED.search(shortage), device_memory(self._family.device)
        wanted = found.group(1) if found else "memory"
        return Refusal(
            "BUSY",
            f"{trajectory.request.size} wanted {wanted} more than there is: of "
            f"{_mib(memory.total)} MiB other processes hold {_mib(memory.others)} and this model "
            f"{_mib(memory.own)}; choose a smaller --working-size, fewer --candidates or fewer --seconds, or "
            "try again when others hold less",
        )


def _mib(size: int) -> int:
    return round(size / 2**20)
