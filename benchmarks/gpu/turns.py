"""Ways of doing the same, measured in turns, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

Way = Callable[[], float]  # does it once, and returns the figure, for example seconds

_SETTLED = 0.05  # two runs that differ by less are about the same


class Budget:
    """The time for everything that is measured."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds that are left; 0 if it is over."""
        return max(self._end - self._clock(), 0.0)

    def rounds(self, most: int, seconds: float) -> Iterator[int]:
        """Numbers from 0: one at least, and then more until `seconds` or the budget are over."""
        end = min(self._clock() + seconds, self._end)
        for number in range(most):
            if number and self._clock() >= end:
                return
            yield number


def settle(way: Way, numbers: Iterable[int]) -> None:
    """Does it until two runs in a row take about the same: kernels are chosen then, and prices learnt."""
    last = None
    for _ in numbers:
        figure = way()
        if last is not None and abs(figure - last) <= _SETTLED * last:
            return
        last = figure


def in_turns(ways: Mapping[str, Way], numbers: Iterable[int]) -> dict[str, list[float]]:
    """The figures of each way, by round; they alternate in going first."""
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for number in numbers:
        for name in list(ways)[:: -1 if number % 2 else 1]:
            measured[name].append(ways[name]())
    return measured
