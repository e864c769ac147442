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
class Endurance:
    """How many seconds a request waits."""

    # For room in a model that has none.
    full: float = 600.0
    # For a model that is out of reach.
    away: float = 180.0


class Door:
    """Where the requests of this process wait for one model.

    When one of them leaves the model, those who wait ask again. Others fill and leave it too, without a
    word to us, so it is asked again after a while anyway.
    """

    def __init__(self, endurance: Endurance) -> None:
        self.endurance = endurance
        self.freed = asyncio.Event()

    def left(self) -> None:
        """A request has left the model."""
        self.freed.set()
        self.freed = asyncio.Event()


class Line:
    """One request waiting at the door."""

    def __init__(self, door: Door, deadline: Deadline) -> None:
        self._door, self._deadline = door, deadline
        self._why: type[Busy | ModelDown] | None = None
        self._since = 0.0
        self._pause = 0.25

    async def wait(self, refusal: Busy | ModelDown) -> None:
        """Returns when it is worth asking again; raises the refusal when that would take too long.

        How long is too long is counted from when the model became full, or went away.
        """
        why = Busy if isinstance(refusal, Busy) else ModelDown
        if why is not self._why:
            self._why, self._since = why, time.monotonic()
        endurance = self._door.endurance
        patience = endurance.full if why is Busy else endurance.away
        left = self._since + patience - time.monotonic()
        pause = self._pause * random.uniform(0.7, 1.3)
        remaining = self._deadline.remaining()
        if left <= 0 or (remaining is not None and remaining <= pause):
            raise refusal
        await wait_event(self._door.freed, within=min(pause, left))
        self._pause = min(self._pause * 2, 2.0)
