"""An LRU cache bounded by bytes, with an optional idle timeout."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class ByteBudgetCache(Generic[Value]):
    """Removes the least recently used values when a new one needs their bytes.

    A value larger than the whole budget is not cached. With `idle` seconds, values that were not used for
    that long are removed too, at the next call of any method; `clock` returns the time in seconds.
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
        self._values: OrderedDict[bytes, _Cached[Value]] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Value | None:
        """The value of a key, which becomes the most recently used one; None if there is none."""
        self._remove_idle()
        found = self._values.pop(key, None)
        if found is None:
            self.misses += 1
            return None
        self._values[key] = found._replace(used=self._clock())
        self.hits += 1
        return found.value

    def put(self, key: bytes, value: Value) -> None:
        """Store a value in place of the one its key had."""
        self._remove_idle()
        self.discard(key)
        size = self._size(value)
        if size > self.budget_bytes:
            return
        while self.bytes + size > self.budget_bytes:
            self.discard(next(iter(self._values)))
        self._values[key] = _Cached(value, self._clock())
        self.bytes += size

    def discard(self, key: bytes) -> None:
        """Remove the value of a key, if there is one."""
        old = self._values.pop(key, None)
        if old is not None:
            self.bytes -= self._size(old.value)

    def facts(self) -> dict[str, int]:
        """Number and bytes of the values, hits and misses."""
        self._remove_idle()
        return {
            "count": len(self),
            "bytes": self.bytes,
            "budget_bytes": self.budget_bytes,
            "hits": self.hits,
            "misses": self.misses,
        }

    def _remove_idle(self) -> None:
        due = self._clock() - self.idle
        while self._values:
            key, oldest = next(iter(self._values.items()))
            if oldest.used > due:
                return
            self.discard(key)


class _Cached(NamedTuple, Generic[Value]):
    """A value, and when it was last used."""

    value: Value
    used: float
