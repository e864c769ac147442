"""Waiting for a model that cannot take a request just now: it is full, or it is being brought back.

Only what has not begun waits. Asking again is safe then, and a job that has waited for its turn should
not fail because of a minute in which a model was loaded anew.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from intarsia.errors import Busy, ModelDown
from orchestrator.aio import wait_event
from orchestrator.deadline import Deadline


@dataclass(frozen=True)
class WaitLimits:
    """The most seconds that a request waits."""

    # For a model that is full.
    full: float = 600.0
    # For a model that is out of reach.
    away: float = 180.0


class ModelQueue:
    """The requests of this process that wait for one model.

    When one request ends, those that wait are tried again. Other processes use the model too, without our
    notice, so they are also tried again after a while.
    """

    def __init__(self, limits: WaitLimits) -> None:
        self.limits = limits
        self.freed = asyncio.Event()

    def notify(self) -> None:
        """Wakes the requests that wait: one of the others has ended."""
        self.freed.set()
        self.freed = asyncio.Event()


class Waiter:
    """One request that waits in the queue."""

    def __init__(self, queue: ModelQueue, limits: WaitLimits, deadline: Deadline) -> None:
        self._queue, self._limits, self.deadline = queue, limits, deadline
        self._why: type[Busy | ModelDown] | None = None  # of the latest refusal
        self._at = 0.0  # when it came
        self._waited: dict[type[Busy | ModelDown], float] = {Busy: 0.0, ModelDown: 0.0}
        self._pause = 0.25

    async def wait(self, refusal: Busy | ModelDown) -> None:
        """Returns when the request should be tried again; raises the refusal when that would take too long.

        The time limits count the time in which the model was full, or away: all of it, however often it
        changed between the two.
        """
        now = time.monotonic()
        if self._why is not None:
            self._waited[self._why] += now - self._at
        self._why, self._at = Busy if isinstance(refusal, Busy) else ModelDown, now
        longest = self._limits.full if self._why is Busy else self._limits.away
        left = longest - self._waited[self._why]
        pause = self._pause * random.uniform(0.7, 1.3)
        remaining = self.deadline.remaining()
        if left <= 0 or (remaining is not None and remaining <= pause):
            raise refusal
        await wait_event(self._queue.freed, within=min(pause, left))
        self._pause = min(self._pause * 2, 2.0)
