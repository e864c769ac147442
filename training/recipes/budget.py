"""Training budgets, and the learning rate as a function of the budget spent."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Minutes of training in total, over all runs; or a number of steps, which repeats exactly."""

    minutes: float = math.inf
    steps: float = math.inf

    def spent(self, step: int, seconds: float) -> float:
        """The fraction of the budget that is used up; 1 or more means stop."""
        return max(seconds / 60 / self.minutes, step / self.steps)


def rate(spent: float, step: int, *, flat: float, warmup: int = 100, floor: float = 0.002) -> float:
    """A factor on the learning rate: a short climb, flat for a while, then half a cosine down."""
    climb = min(1.0, (step + 1) / warmup)
    if spent < flat:
        return climb
    return climb * max(floor, 0.5 * (1 + math.cos(math.pi * (spent - flat) / (1 - flat))))
