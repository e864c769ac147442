"""What was made lately, kept within a budget of bytes, and for a while only where that is asked for."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Forgets what was asked for longest ago when something new needs its room.

    What alone exceeds the budget is not kept at all. With `idle` seconds, also what nobody asked for that
    long is forgotten, at the next question of any kind; `clock` says what time it is, in seconds.
    """

    def __init__(
        self,
        budget_bytes: int,
        size: Callable[[Value], int],
        *,
        idle: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget_bytes = budget_bytes
        self.idle = idle
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._size = size
        self._clock = clock
        self._values: OrderedDict[bytes, _Asked[Value]] = OrderedDict()  # asked for longest ago first

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Value | None:
        """What is kept under a key, which now counts as the one asked for last."""
        self._sweep()
        found = self._values.pop(key, None)
        if found is None:
            self.misses += 1
            return None
        self._values[key] = found._replace(at=self._clock())
        self.hits += 1
        return found.value

    def keep(self, key: bytes, value: Value) -> None:
        """Keep something, in place of what was under its key."""
        self._sweep()
        self.forget(key)
        size = self._size(value)
        if size > self.budget_bytes:
            return
        while self.bytes + size > self.budget_bytes:
            self.forget(next(iter(self._values)))
        self._values[key] = _Asked(value, self._clock())
        self.bytes += size

    def forget(self, key: bytes) -> None:
        """Keep what is under a key no longer; nothing may be there."""
        old = self._values.pop(key, None)
        if old is not None:
            self.bytes -= self._size(old.value)

    def facts(self) -> dict[str, int]:
        """How full it is, and how often it helped."""
        self._sweep()
        return {
            "count": len(self),
            "bytes": self.bytes,
            "budget_bytes": self.budget_bytes,
            "hits": self.hits,
            "misses": self.misses,
        }

    def _sweep(self) -> None:
        due = self._clock() - self.idle
        while self._values:
            key, oldest = next(iter(self._values.items()))
            if oldest.at > due:
                return
            self.forget(key)


class _Asked(NamedTuple, Generic[Value]):
    """A value, and when it was last asked for."""

    value: Value
    at: float
