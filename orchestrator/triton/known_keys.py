"""Keys of pictures and adapters that were sent to a model lately, and that it may still know."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from weakref import WeakValueDictionary


class KnownKeys:
    """The latest keys, at most so many, and a lock for the upload of each."""

    def __init__(self, most: int = 256) -> None:
        self._uploads: OrderedDict[bytes, int] = OrderedDict()  # the number of the latest upload, by key
        self._most = most
        self._numbers = itertools.count(1)
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def __contains__(self, key: bytes) -> bool:
        return key in self._uploads

    def upload_of(self, key: bytes) -> int:
        """The number of the key's latest upload, 0 if it is not known."""
        return self._uploads.get(key, 0)

    def uploading(self, key: bytes) -> asyncio.Lock:
        """The lock to hold while the key is looked up and, if it is not known, uploaded: of many requests
        that need it at once, one uploads it."""
        return self._locks.setdefault(key, asyncio.Lock())

    def add(self, key: bytes) -> None:
        """Notes that the key was uploaded."""
        self._uploads[key] = next(self._numbers)
        self._uploads.move_to_end(key)
        if len(self._uploads) > self._most:
            self._uploads.popitem(last=False)

    def forget(self, key: bytes, upload: int) -> None:
        """Notes that the model does not know the key, although it was uploaded then; unless it was uploaded
        again meanwhile."""
        if self.upload_of(key) == upload:
            self._uploads.pop(key, None)

    def clear(self) -> None:
        self._uploads.clear()
