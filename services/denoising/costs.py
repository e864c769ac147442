"""The cost of a forward pass, measured when the model is loaded.

Sharing a pass pays where a single request leaves the machine idle, and costs where it does not: a small
network on two cores computes 24 rows of 16 x 16 latents at a third of the price of three at a time, but
rows of 64 x 64 are dearer together than apart. This must be measured, for each network on each machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from services.denoising.family import Family, Request
from services.denoising.memory_budget import pass_bytes
from services.denoising.stopwatch import timed

LADDER = (1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48)
_WORTHWHILE = 0.97  # a larger pass must beat a smaller one by this factor per row: measuring is noisy


@dataclass(frozen=True)
class Measured:
    """Passes with rows of one work: seconds by rows, and the memory one row takes."""

    work: int
    seconds: dict[int, float]
    bytes_per_row: int

    def best_rows(self) -> int:
        """The number of rows at which a row is cheapest; the smaller of equals, whose passes are shorter."""
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
    """The table, by rising work of a row (latent cells or tokens)."""

    table: tuple[Measured, ...]

    def rows_for(self, work: int) -> int:
        """The most rows of this work that are worth a pass.

        Between two that were measured the larger one is used: too little sharing costs less than too much.
        """
        for measured in self.table:
            if work <= measured.work:
                return measured.best_rows()
        return self.table[-1].best_rows()

    def bytes_for(self, rows: int, work: int) -> int:
        """Working memory of a pass, which grows with its rows and their work."""
        nearest = self._nearest(work)
        return math.ceil(nearest.bytes_per_row * rows * work / nearest.work)

    def seconds_for(self, rows: int, work: int) -> float:
        """About how long a pass takes: in proportion to its rows, and beyond what was measured to the
        square of the work, as attention goes."""
        nearest = self._nearest(work)
        measured_rows = min(nearest.seconds, key=lambda known: abs(known - rows))
        per_row = nearest.seconds[measured_rows] / measured_rows
        growth = work / nearest.work
        return per_row * rows * (growth * growth if growth > 1 else growth)

    def step_seconds(self, request: Request) -> float:
        """About how long a step of this request takes alone, with its hooks."""
        return self.seconds_for(len(request.branches), request.work) + self.hook_seconds(request)

    def hook_seconds(self, request: Request) -> float:
        """About how long the hooks of this request take after a step."""
        return sum(self.seconds_for(1, hook.work) for hook in request.after if hook.work)

    def step_bytes(self, request: Request) -> int:
        """Working memory of a step of this request alone: of its pass or of a hook, whichever takes more."""
        hooks = (self.bytes_for(1, hook.work) for hook in request.after if hook.work)
        return max(self.bytes_for(len(request.branches), request.work), *hooks, 0)

    def as_facts(self) -> list[dict]:
        """The table in plain values."""
        return [
            {
                "work": m.work,
                "rows": m.best_rows(),
                "seconds": {str(n): round(s, 6) for n, s in m.seconds.items()},
            }
            for m in self.table
        ]

    def _nearest(self, work: int) -> Measured:
        return min(self.table, key=lambda measured: abs(math.log(measured.work / work)))


def measure(
    family: Family,
    works: Sequence[int],
    *,
    budget_bytes: int,
    seconds: float = 4.0,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Times passes with rows of these works, smallest first, for about so many seconds in all.

    The rungs of a ladder are climbed round by round, as often as there is time for, and the least time of
    each counts: a disturbance then hits one round of every rung instead of every round of one. A work
    whose single row already uses its share of the time gets no more rungs, and larger ones are not timed.
    """
    table: list[Measured] = []
    works = sorted(works)
    left = seconds
    for index, work in enumerate(works):
        share = left / (len(works) - index)
        started = clock()
        per_row = pass_bytes(family, work)  # also warms up
        if per_row > budget_bytes and table:
            break
        found = {1: _timed(family, 1, work)}
        for _ in range(2):  # how high the ladder goes must not hang on one disturbed pass
            if clock() - started < share / 4:
                found[1] = min(found[1], _timed(family, 1, work))
        ladder = [1]
        for rows in LADDER[1:]:
            # The next rung is taken to cost as much per row as the last: it ends before time or memory do.
            expected = found[ladder[-1]] * rows / ladder[-1]
            if expected > share / 3 or rows * per_row > budget_bytes or clock() - started > share:
                break
            found[rows] = _timed(family, rows, work)
            ladder.append(rows)
        for _ in range(rounds):
            for rows in ladder:
                if clock() - started < share:
                    found[rows] = min(found[rows], _timed(family, rows, work))
        table.append(Measured(work, found, per_row))
        left = max(left - (clock() - started), 0.0)
        if found[1] > share:
            break
    return Costs(tuple(table))


def _timed(family: Family, rows: int, work: int) -> float:
    sample = family.sample(rows, work)

    def once() -> None:
        family.predict(sample)
        if family.device.type == "cuda":
            torch.cuda.synchronize(family.device)

    return timed(once)
