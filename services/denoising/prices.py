"""The prices of one kind of pass, seconds by rows, learnt from passes that were served.

A price is a low quantile of the last few passes: one that was held up does not count, while a machine that
got faster or slower does. What was seen long ago is forgotten as soon as it is seen anew.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Iterable, Mapping

_LATE = 8  # passes that make a price
_STALE = 64  # passes after which a price is replaced by the next pass
_WORTHWHILE = 0.98  # a larger pass must beat a smaller one by this factor per row


class Price:
    """What passes with so many rows take."""

    def __init__(self, seconds: float, *, assumed: bool = False) -> None:
        self.seconds = seconds
        self.assumed = assumed  # concluded from another kind
        self.served_at = 0  # the number of the last pass; 0 if none was served here
        self._late: deque[float] = deque(maxlen=_LATE)

    def add(self, seconds: float, number: int) -> None:
        """Takes a pass into account."""
        if not self.served_at or number - self.served_at > _STALE:
            self._late.clear()
        self._late.append(seconds)
        self.seconds = sorted(self._late)[len(self._late) // 4]
        self.served_at, self.assumed = number, False


class Prices:
    """Seconds by rows, from measured ones or those of another kind on. Not safe for threads."""

    def __init__(self, seconds: Mapping[int, float], *, assumed: bool = False) -> None:
        self._prices = {rows: Price(value, assumed=assumed) for rows, value in seconds.items()}
        self.seen = bool(seconds) and not assumed  # at least one of them is not assumed

    def known(self) -> dict[int, float]:
        """Seconds by rows as they were measured or served."""
        return {rows: price.seconds for rows, price in sorted(self._prices.items()) if not price.assumed}

    def all(self) -> dict[int, float]:
        """Seconds by rows, with those concluded from another kind."""
        return {rows: price.seconds for rows, price in sorted(self._prices.items())}

    def seconds(self, rows: int) -> float:
        """About what a pass takes: on a straight line between known ones, beyond them in proportion."""
        if rows in self._prices:
            return self._prices[rows].seconds
        known = sorted(self._prices)
        place = bisect.bisect(known, rows)
        if not known:
            return math.inf
        if place == 0:  # at most what a larger one takes
            return self._prices[known[0]].seconds
        below, least = known[place - 1], self._prices[known[place - 1]].seconds
        if place == len(known):
            return least * rows / below
        above, most = known[place], self._prices[known[place]].seconds
        return least + (most - least) * (rows - below) / (above - below)

    def best(self, counts: Iterable[int]) -> int:
        """The number of rows at which a row is cheapest, of some in rising order.

        The smaller of equals, whose passes are shorter.
        """
        best, price = 0, math.inf
        for rows in counts:
            per_row = self.seconds(rows) / rows
            if not best or per_row < price * _WORTHWHILE:
                best, price = rows, per_row
        return best

    def add(self, rows: int, seconds: float, number: int) -> None:
        """Takes a pass into account, the one with this number of all that were served."""
        self._prices.setdefault(rows, Price(seconds)).add(seconds, number)
        self.seen = True

    def served_at(self, rows: int) -> int:
        """The number of the last pass with so many rows; 0 if none was served."""
        return self._prices[rows].served_at if rows in self._prices else 0

    def largest_served(self) -> int:
        """The most rows that a pass had; 0 if none was served."""
        return max((rows for rows, price in self._prices.items() if price.served_at), default=0)
