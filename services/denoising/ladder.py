"""Passes with growing numbers of rows, timed when a network is loaded."""

from __future__ import annotations

from collections.abc import Callable

from services.denoising.device import wait_for
from services.denoising.family import Family
from services.denoising.row_choice import LADDER
from services.denoising.stopwatch import timed


class Ladder:
    """Passes with rows of one work, timed until an end. The first pass of a shape never counts.

    That of a single row must have been taken.
    """

    def __init__(self, family: Family, work: int, clock: Callable[[], float], end: float) -> None:
        self._family, self._work, self._clock, self._end = family, work, clock, end
        self.seconds = {1: self._timed(1)}  # by rows

    def climb(self, most: int, *, longest: float) -> None:
        """Times the rungs up to so many rows, while a pass lasts no longer than so many seconds.

        The next rung is taken to cost as much per row as the last: it ends before time or memory do.
        """
        for rows in LADDER[1:]:
            last = max(self.seconds)
            expected = self.seconds[last] * rows / last
            if rows > most or expected > longest or self._clock() + 2 * expected > self._end:
                return
            self._run(rows)
            self.seconds[rows] = self._timed(rows)

    def repeat(self, rounds: int) -> None:
        """Times every rung again, as often as there is time for; the least time of each counts.

        A disturbance then hits one round of every rung instead of every round of one.
        """
        for _ in range(rounds):
            for rows, least in self.seconds.items():
                if self._clock() + least > self._end:
                    return
                self.seconds[rows] = min(least, self._timed(rows))

    def _timed(self, rows: int) -> float:
        return timed(lambda: self._run(rows))

    def _run(self, rows: int) -> None:
        self._family.predict(self._family.sample(rows, self._work))
        wait_for(self._family.device)
