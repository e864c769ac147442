"""Keys of pictures and adapters that were sent to a model lately, and that it may still know."""

from __future__ import annotations

from collections import OrderedDict


class KnownKeys:
    """The latest keys, at most so many."""

    def __init__(self, most: int = 256) -> None:
        self._keys: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes) -> None:
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def forget(self, key: bytes) -> None:
        self._keys.pop(key, None)

    def clear(self) -> None:
        self._keys.clear()
