"""A sketch whose passes take time by a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from services.denoising.family import BatchRow
from tests.services.denoising.doubles import Sketch

Seconds = Callable[[int, int], float]  # by rows and work


class TimedSketch(Sketch):
    """The first pass of each shape takes a hundred times longer."""

    def __init__(self, seconds: Seconds) -> None:
        super().__init__()
        self.now, self.seconds = 0.0, seconds
        self.warm: set[tuple[int, int]] = set()
        self.last = (0, 0.0, False)  # rows, seconds, and whether it was the first of its shape

    def clock(self) -> float:
        return self.now

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        shape = len(rows), rows[0].latents[0].numel()
        cold = shape not in self.warm
        took = self.seconds(*shape) * (100 if cold else 1)
        self.now += took
        self.warm.add(shape)
        self.last = (len(rows), took, cold)
        self.passes.clear()
        return super().predict(rows)
