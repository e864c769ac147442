"""What was made lately, kept within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Forgets what was asked for longest ago when something new needs its room.

    What alone exceeds the budget is not kept at all.
    """

    def __init__(self, budget_bytes: int, size: Callable[[Value], int]) -> None:
        self.budget_bytes = budget_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._size = size
        self._values: OrderedDict[bytes, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Value | None:
        """What is kept under a key, which now counts as the one asked for last."""
        found = self._values.get(key)
        if found is None:
            self.misses += 1
            return None
        self._values.move_to_end(key)
        self.hits += 1
        return found

    def keep(self, key: bytes, value: Value) -> None:
        """Keep something, in place of what was under its key."""
        self._forget(key)
        size = self._size(value)
        if size > self.budget_bytes:
            return
        while self.bytes + size > self.budget_bytes:
            self._forget(next(iter(self._values)))
        self._values[key] = value
        self.bytes += size

    def facts(self) -> dict[str, int]:
        """How full it is, and how often it helped."""
        return {
            "count": len(self),
            "bytes": self.bytes,
            "budget_bytes": self.budget_bytes,
            "hits": self.hits,
            "misses": self.misses,
        }

    def _forget(self, key: bytes) -> None:
        old = self._values.pop(key, None)
        if old is not None:
            self.bytes -= self._size(old)
