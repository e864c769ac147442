"""The stall timer: how long a model may be silent before it counts as dead.

Triton neither restarts a dead model nor ends its calls, so the caller has to notice.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class StallLimits:
    """Timeouts after which a silent model counts as stalled."""

    # A stream may be silent for this many times its longest step.
    steps: float = 10.0
    # It may always be silent for this many seconds.
    floor: float = 30.0
    # The first beat may take this many seconds: a request waits for its turn before it is stepped.
    first: float = 120.0
    # A unary request may take this many seconds.
    answer: float = 300.0


ENDLESS = StallLimits(floor=math.inf, answer=math.inf)


class StallTimer:
    """Measures the time between the beats of one stream."""

    def __init__(self, limits: StallLimits) -> None:
        self._limits = limits
        self._beats = 0
        self._longest = 0.0
        self._last = time.monotonic()

    @property
    def began(self) -> bool:
        """True once a reply has come."""
        return self._beats > 0

    def allowance(self) -> float:
        """Seconds of silence, from now on, after which the stream counts as stalled."""
        if not self.began:
            return max(self._limits.first, self._limits.floor)
        return max(self._limits.steps * self._longest, self._limits.floor)

    def beat(self) -> None:
        """Notes that a reply has come."""
        now = time.monotonic()
        step = now - self._last
        # The first step is measured with the wait for its turn: better than nothing until the second.
        self._longest = step if self._beats < 2 else max(self._longest, step)
        self._last = now
        self._beats += 1
