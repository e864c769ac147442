"""The meter of a step loop: what it is told, and how the loop survives one that fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger(__name__)


class Meter(Protocol):
    """Metrics of the loop. Called from its thread: no call may block."""

    def under_way(self, running: int, waiting: int) -> None:
        """The number of trajectories that step, and of those that wait."""

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        """A forward pass and everything that belongs to it."""

    def ended(self, how: str) -> None:
        """`finished`, `cancelled`, `expired`, `failed` or `refused`."""


class GuardedMeter:
    """A meter whose failures are logged: they must neither end a request nor keep its memory."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def under_way(self, running: int, waiting: int) -> None:
        with _logged():
            self._meter.under_way(running, waiting)

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        with _logged():
            self._meter.stepped(rows, trajectories, seconds)

    def ended(self, how: str) -> None:
        with _logged():
            self._meter.ended(how)


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Exception:  # of whatever the meter is made of
        log.exception("a metric of the step loop could not be taken")
