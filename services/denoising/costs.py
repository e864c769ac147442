"""The costs of forward passes in time and memory: measured at the start, learnt while serving.

Sharing a pass pays where a single request leaves the machine idle, and costs where it does not: a small
network on two cores computes 24 rows of 16 x 16 latents at a third of the price of three at a time, but
rows of 64 x 64 are dearer together than apart. This differs by network and machine, and changes with what
else the machine does, so every pass that is served is taken into account.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.denoising.family import Family, Request
from services.denoising.ladder import Ladder
from services.denoising.memory_budget import pass_bytes
from services.denoising.prices import Prices
from services.denoising.row_choice import LADDER, RowChoice

_KINDS = 64  # whose prices are kept; the one unused for longest is dropped first


class Kind(NamedTuple):
    """Passes that have prices in common."""

    work: int  # of a row
    eager: bool = False  # with adapters, or reproducible: the network runs as it was loaded


@dataclass(frozen=True)
class Measured:
    """Passes with rows of one work: seconds by rows, and the memory one row takes."""

    work: int
    seconds: Mapping[int, float]
    bytes_per_row: int


class Costs:
    """Prices by kind of pass. Any thread may ask; the loop's chooses and observes.

    `known` are prices from an earlier start, which stand instead of measured ones. Without `learning` the
    prices stay as they are, and nothing is tried.
    """

    def __init__(
        self,
        measured: Iterable[Measured],
        known: Mapping[Kind, Mapping[int, float]] | None = None,
        *,
        learning: bool = True,
    ) -> None:
        self._measured = tuple(sorted(measured, key=lambda each: each.work))
        self._learning = learning
        self._changing = threading.Lock()  # guards all below
        self._choices: OrderedDict[Kind, RowChoice] = OrderedDict()
        for each in self._measured:
            self._choices[Kind(each.work)] = RowChoice(Prices(each.seconds))
        for kind, seconds in (known or {}).items():
            self._choices[kind] = RowChoice(Prices(seconds))

    def choose(self, kind: Kind, counts: Sequence[int], shape: Hashable = None) -> int:
        """The number of rows that the next pass of this kind and shape should have, of some in rising order.

        It is the cheapest by row, or one that is worth trying. A pass never has more rows than the ladder,
        unless even the smallest has.
        """
        counts = [rows for rows in counts if rows <= LADDER[-1]] or counts[:1]
        with self._changing:
            choice = self._of(kind)
            return choice.choose(counts, shape) if self._learning else choice.prices.best(counts)

    def observe(self, kind: Kind, rows: int, seconds: float, shape: Hashable = None) -> None:
        """Takes a pass that was served into account. The first one of a shape, which is slow, is no price."""
        if self._learning:
            with self._changing:
                self._of(kind).observe(rows, seconds, shape)

    def rows_for(self, work: int) -> int:
        """The number of rows of this work at which a row is cheapest, as far as is known."""
        with self._changing:
            known = self._choices.get(Kind(work))
            prices = self._assumed(Kind(work)) if known is None else known.prices
            return prices.best(prices.all())

    def bytes_for(self, rows: int, work: int) -> int:
        """Working memory of a pass, which grows with its rows and their work."""
        nearest = min(self._measured, key=lambda each: abs(math.log(each.work / work)))
        return math.ceil(nearest.bytes_per_row * rows * work / nearest.work)

    def seconds_for(self, rows: int, work: int) -> float:
        """About how long a pass takes: of a work that was never served, in proportion to the nearest that
        was, and to the square beyond the largest, as attention goes."""
        with self._changing:
            seen = {kind.work: choice.prices for kind, choice in self._choices.items() if not kind.eager}
            seen = {each: prices for each, prices in seen.items() if prices.seen}
            nearest = work if work in seen else min(seen, key=lambda each: abs(math.log(each / work)))
            return seen[nearest].seconds(rows) * _growth(work / nearest)

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

    def known(self) -> dict[Kind, dict[int, float]]:
        """Seconds by kind and rows, without what is only assumed."""
        with self._changing:
            found = {kind: choice.prices.known() for kind, choice in sorted(self._choices.items())}
        return {kind: seconds for kind, seconds in found.items() if seconds}

    def as_facts(self) -> list[dict]:
        """The table in plain values."""
        with self._changing:
            return [
                {
                    "work": kind.work,
                    **({"eager": True} if kind.eager else {}),
                    "rows": choice.prices.best(choice.prices.all()),
                    "seconds": {str(rows): round(spent, 6) for rows, spent in choice.prices.known().items()},
                }
                for kind, choice in sorted(self._choices.items(), key=lambda each: (each[0].eager, each[0]))
                if choice.prices.seen
            ]

    def _of(self, kind: Kind) -> RowChoice:
        """The choice for a kind, which is now the one used last."""
        if kind not in self._choices:
            measured = {Kind(each.work) for each in self._measured}
            spare = [other for other in self._choices if other not in measured]
            if len(self._choices) >= _KINDS and spare:
                del self._choices[spare[0]]
            self._choices[kind] = RowChoice(self._assumed(kind))
        self._choices.move_to_end(kind)
        return self._choices[kind]

    def _assumed(self, kind: Kind) -> Prices:
        """Prices concluded from another kind: one that is not eager, else that of the next larger work.

        Too little sharing costs less than too much, and a larger pass is soon tried.
        """
        plain = Kind(kind.work)
        if plain in self._choices:
            return Prices(self._choices[plain].prices.all(), assumed=True)
        works = [each.work for each in self._measured]
        like = next((work for work in works if work >= kind.work), works[-1])
        growth = _growth(kind.work / like)
        seconds = self._choices[Kind(like)].prices.all()
        return Prices({rows: value * growth for rows, value in seconds.items()}, assumed=True)


def measure(
    family: Family,
    works: Sequence[int],
    *,
    budget_bytes: int,
    known: Mapping[Kind, Mapping[int, float]] | None = None,
    seconds: float = 4.0,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Measures passes with rows of these works, smallest first, for about so many seconds in all.

    The memory of a row is always measured, the time only where no price is `known` from an earlier start.
    Where a single row takes more than a work's share of the time, larger works are not measured.
    """
    known = known or {}
    found: list[Measured] = []
    works, until = sorted(works), clock() + seconds
    for index, work in enumerate(works):
        began = clock()
        bytes_per_row = pass_bytes(family, work)  # also warms up
        if bytes_per_row > budget_bytes and found:
            break
        if Kind(work) in known:
            found.append(Measured(work, known[Kind(work)], bytes_per_row))
            continue
        end = began + max(until - began, 0.0) / (len(works) - index)
        ladder = Ladder(family, work, clock, end)
        ladder.climb(budget_bytes // bytes_per_row, longest=seconds / len(works) / 3)
        ladder.repeat(rounds)
        found.append(Measured(work, ladder.seconds, bytes_per_row))
        if ladder.seconds[1] > seconds / len(works):
            break
    return Costs(found, known)


def _growth(ratio: float) -> float:
    """The growth of a pass's time with the work of its rows."""
    return ratio * ratio if ratio > 1 else ratio
