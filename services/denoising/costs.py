"""What a forward pass costs, measured when the model is loaded.

Sharing a pass pays where a single request leaves the machine idle, and costs where it does not: a small
network on two cores computes 24 rows of 16 x 16 latents at a third of the price of three at a time, but
rows of 64 x 64 are dearer together than apart. Only measuring tells, for this network on this machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from services.denoising.family import Family
from services.denoising.memory_budget import pass_bytes
from services.denoising.stopwatch import timed

LADDER = (1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48)
_WORTHWHILE = 0.97  # a larger pass must beat a smaller one by this factor per row: measuring is noisy


@dataclass(frozen=True)
class Measured:
    """Passes at one latent area: seconds by rows, and the memory one row takes."""

    area: int
    seconds: dict[int, float]
    bytes_per_row: int

    def best_rows(self) -> int:
        """The number of rows at which a row is cheapest; the smaller of equals, as it answers sooner."""
        best, price = 1, math.inf
        for rows, seconds in sorted(self._undisturbed().items()):
            if seconds / rows < price * _WORTHWHILE:
                best, price = rows, seconds / rows
        return best

    def _undisturbed(self) -> dict[int, float]:
        """Times that rise with the rows: a pass seen to last longer than a larger one was held up."""
        known, least = {}, math.inf
        for rows, seconds in sorted(self.seconds.items(), reverse=True):
            least = min(least, seconds)
            known[rows] = least
        return known


@dataclass(frozen=True)
class Costs:
    """The table, by rising area."""

    table: tuple[Measured, ...]

    def rows_for(self, area: int) -> int:
        """How many rows are worth a pass at this latent area.

        Between two measured areas the larger one is believed: too little sharing costs less than too much.
        """
        for measured in self.table:
            if area <= measured.area:
                return measured.best_rows()
        return self.table[-1].best_rows()

    def bytes_for(self, rows: int, area: int) -> int:
        """Working memory of a pass, which grows with the area it covers."""
        nearest = min(self.table, key=lambda measured: abs(math.log(measured.area / area)))
        return math.ceil(nearest.bytes_per_row * rows * area / nearest.area)

    def seconds_for(self, rows: int, area: int) -> float:
        """How long a pass will take, about: in proportion to its rows, and beyond what was measured to the
        square of the area, as attention goes."""
        nearest = min(self.table, key=lambda measured: abs(math.log(measured.area / area)))
        measured_rows = min(nearest.seconds, key=lambda known: abs(known - rows))
        per_row = nearest.seconds[measured_rows] / measured_rows
        growth = area / nearest.area
        return per_row * rows * (growth * growth if growth > 1 else growth)

    def as_facts(self) -> list[dict]:
        """The table in plain values, for logs and for whoever asks the model for its facts."""
        return [
            {
                "area": m.area,
                "rows": m.best_rows(),
                "seconds": {str(n): round(s, 6) for n, s in m.seconds.items()},
            }
            for m in self.table
        ]


def measure(
    family: Family,
    sides: Sequence[int],
    *,
    budget_bytes: int,
    seconds: float = 4.0,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Times passes at latents of these sides, smallest first, for about so many seconds in all.

    The rungs of a ladder are climbed round by round, as often as there is time for, and the least time of
    each counts: a disturbance then hits one round of every rung instead of every round of one. An area
    whose single row already uses its share of the time gets no more rungs, and neither get areas beyond
    it.
    """
    table: list[Measured] = []
    sides = sorted(sides)
    left = seconds
    for index, side in enumerate(sides):
        share = left / (len(sides) - index)
        started = clock()
        per_row = pass_bytes(family, side)  # also warms up
        if per_row > budget_bytes and table:
            break
        found = {1: _timed(family, 1, side)}
        for _ in range(2):  # how high the ladder goes must not hang on one disturbed pass
            if clock() - started < share / 4:
                found[1] = min(found[1], _timed(family, 1, side))
        ladder = [1]
        for rows in LADDER[1:]:
            # The next rung is taken to cost as much per row as the last: it ends before time or memory do.
            foreseen = found[ladder[-1]] * rows / ladder[-1]
            if foreseen > share / 3 or rows * per_row > budget_bytes or clock() - started > share:
                break
            found[rows] = _timed(family, rows, side)
            ladder.append(rows)
        for _ in range(rounds):
            for rows in ladder:
                if clock() - started < share:
                    found[rows] = min(found[rows], _timed(family, rows, side))
        table.append(Measured(side * side, found, per_row))
        left = max(left - (clock() - started), 0.0)
        if found[1] > share:
            break
    return Costs(tuple(table))


def _timed(family: Family, rows: int, side: int) -> float:
    asked = family.sample(rows, side)

    def once() -> None:
        family.predict(asked)
        if family.device.type == "cuda":
            torch.cuda.synchronize(family.device)

    return timed(once)
