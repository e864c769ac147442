"""Embeddings of the pictures seen last, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict

from services.sam.network import Embedded


class Cache:
    """Forgets the picture that was asked for longest ago when a new one needs its room.

    The newest picture is kept even if it alone exceeds the budget: it is about to be used.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Embedded | None:
        """The embedding of a picture, which now counts as the one asked for last."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return found

    def keep(self, key: bytes, embedded: Embedded) -> None:
        """Remember a picture."""
        self._forget(key)
        self._kept[key] = embedded
        self.bytes += embedded.bytes
        while self.bytes > self.budget_bytes and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self.bytes -= old.bytes
