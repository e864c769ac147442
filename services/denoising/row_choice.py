"""Chooses how many rows the next pass of a kind has: the cheapest number, or one that is worth trying.

What is known of a number may be wrong, or date from a time when the machine was busy. A larger pass than was
served yet is tried at once. Any other is tried now and then, as far as trials did not take too much time; one
that did not pay waits twice as long until it is tried again.
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from services.denoising.prices import Prices

LADDER = (1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48)  # the rungs: numbers of rows that are measured and tried

_SOON, _SELDOM = 16, 1024  # passes between two trials of a rung: at first, and at most
_CHANGE = 1.5  # of the cheapest price, after which trials are repeated soon
_LEAP = 2  # a trial has at most so many times the rows of the largest pass that was served
_LONGEST = 1.0  # seconds for which others wait for a trial
_FOR_TRIALS = 0.02  # of the time may be lost by trials, and as much by first passes that they need
_SAVED = 4.0  # times the seconds of a pass may be saved for trials
_OWED = 4.0  # times the seconds of the cheapest pass may be owed; they are earned before the next trial
_SHAPES = 1024  # that are known to be warm


@dataclass
class Rung:
    """When passes with about so many rows were tried, and how long to wait until they are again."""

    tried_at: int = 0  # the number of the last pass before the trial ended; 0 if there was none
    per_row: float = 0.0  # seconds that a row took then at the cheapest number
    wait: int = _SOON

    def close(self, now: int, per_row: float, *, paid: bool) -> None:
        """Ends a trial."""
        self.tried_at, self.per_row = now, per_row
        self.wait = _SOON if paid else min(2 * self.wait, _SELDOM)

    def passes(self, per_row: float) -> int:
        """How many passes to wait: not long if the machine has become faster or slower since."""
        same = self.per_row / _CHANGE <= per_row <= self.per_row * _CHANGE
        return self.wait if same else _SOON


@dataclass
class Trial:
    """Passes of one shape with a number of rows that is not the cheapest, until one gives a price."""

    rows: int
    shape: Hashable
    began: int
    free: bool  # not counted as time that was lost
    best: tuple[int, float] = (0, 0.0)  # the cheapest number of rows, and seconds that a row takes there
    served: bool = False  # whether the pass that was asked for last was observed

    def lost(self, seconds: float) -> float:
        """Seconds that a pass of the trial took beyond what its rows cost at the cheapest number."""
        return 0.0 if self.free else max(seconds - self.rows * self.best[1], 0.0)


class RowChoice:
    """The choice for one kind, with its prices. Not safe for threads."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self._passes = 0
        self._rungs = {rows: Rung() for rows in LADDER}
        self._trial: Trial | None = None
        self._warm: set[tuple[Hashable, int]] = set()  # shapes with their rows
        self._purse = self._cold_purse = 0.0  # seconds that trials, and their first passes, may lose

    def choose(self, counts: Sequence[int], shape: Hashable) -> int:
        """One of these numbers of rows, which are in rising order."""
        best = self.prices.best(counts)
        per_row = self.prices.seconds(best) / best
        if len(counts) == 1 or not self.prices.largest_served():
            return best
        trial, self._trial = self._trial, None
        if trial is not None and trial.shape != shape and self._passes - trial.began <= _SELDOM:
            self._trial = trial  # its shape comes again
            return best
        if trial is not None and trial.shape == shape and not trial.served:  # its pass failed
            rung = self._rung(trial.rows)
            rung.wait = _SELDOM
            rung.close(self._passes, per_row, paid=False)
        elif trial is not None and trial.shape == shape and trial.rows in counts:
            self._trial = trial
        self._trial = self._trial or self._due(counts, shape, best, per_row)
        if self._trial is None:
            return best
        self._trial.best, self._trial.served = (best, per_row), False
        return self._trial.rows

    def observe(self, rows: int, seconds: float, shape: Hashable) -> None:
        """Takes a pass into account. The first of a shape is slow and no price: its trial goes on."""
        self._passes += 1
        trial = self._trial
        if trial is not None and (trial.rows, trial.shape) == (rows, shape):
            trial.served = True
        else:
            trial = None
        if (shape, rows) not in self._warm:
            if len(self._warm) >= _SHAPES:
                self._warm.clear()
            self._warm.add((shape, rows))
            self._cold_purse -= trial.lost(seconds) if trial is not None else 0.0
            return
        self.prices.add(rows, seconds, self._passes)
        self._purse = min(self._purse + _FOR_TRIALS * seconds, _SAVED * seconds)
        self._cold_purse = min(self._cold_purse + _FOR_TRIALS * seconds, _SAVED * seconds)
        if trial is not None:
            best, per_row = trial.best
            self._purse = max(self._purse - trial.lost(seconds), -_OWED * best * per_row)
            self._rung(rows).close(self._passes, per_row, paid=seconds / rows < per_row)
            self._trial = None

    def _due(self, counts: Sequence[int], shape: Hashable, best: int, per_row: float) -> Trial | None:
        """The next trial: of a larger pass than was served yet, else of the smallest rung that is due."""
        largest = self.prices.largest_served()
        smallest = {_rung_of(rows): rows for rows in reversed(counts)}  # of each rung
        due = [
            rows
            for rung, rows in smallest.items()
            if rung != _rung_of(best)
            and rows <= _LEAP * largest
            and rows * per_row <= _LONGEST
            and self._is_due(rows, per_row)
        ]
        if due and max(due) > largest:
            return Trial(max(due), shape, self._passes, free=True)
        paid = [rows for rows in due if self._may_lose(rows, shape)]
        return Trial(min(paid), shape, self._passes, free=False) if paid else None

    def _is_due(self, rows: int, per_row: float) -> bool:
        """True if it was never served nor tried, or not for as long as its rung should wait."""
        rung = self._rung(rows)
        latest = max(rung.tried_at, self.prices.served_at(rows))
        return not latest or self._passes - latest >= rung.passes(per_row)

    def _may_lose(self, rows: int, shape: Hashable) -> bool:
        return (self._purse if (shape, rows) in self._warm else self._cold_purse) > 0

    def _rung(self, rows: int) -> Rung:
        return self._rungs[_rung_of(rows)]


def _rung_of(rows: int) -> int:
    """The highest rung that is not above these rows."""
    return LADDER[bisect.bisect(LADDER, rows) - 1]
