"""Waiting for room in a model that said it has none."""

from __future__ import annotations

import asyncio
import random
import time

from intarsia.errors import Busy
from orchestrator.triton.deadline import Deadline
from orchestrator.waiting import happened


class Room:
    """Knows when a request of this process left a model: then it is worth asking again.

    Others fill and leave the model too, without a word to us, so it is asked again after a while anyway.
    """

    def __init__(self, patience: float) -> None:
        """`patience` is how many seconds a run waits for room before it gives up."""
        self._patience = patience
        self._left = asyncio.Event()

    def left(self) -> None:
        """A request has left the model."""
        self._left.set()
        self._left = asyncio.Event()

    def line(self, deadline: Deadline) -> Line:
        """A place in the line for one request."""
        return Line(self, deadline)


class Line:
    """One request waiting for room."""

    def __init__(self, room: Room, deadline: Deadline) -> None:
        self._room, self._deadline = room, deadline
        self._until = time.monotonic() + room._patience
        self._pause = 0.25

    async def wait(self, refusal: Busy) -> None:
        """Returns when it is worth asking again; raises the refusal when there was no room for too long."""
        left = self._until - time.monotonic()
        remaining = self._deadline.remaining()
        if left <= 0:
            raise refusal
        pause = min(self._pause * random.uniform(0.7, 1.3), left)
        await happened(self._room._left, within=pause if remaining is None else min(pause, remaining))
        self._pause = min(self._pause * 2, 4.0)
