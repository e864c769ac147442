"""Caches decoded pictures, so that another edit of the same picture reads and writes it faster."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary

from orchestrator.media.picture.picture import Picture
from orchestrator.media.picture.png import Strip

# Small pictures decode quickly: caching many of them would only use memory.
_MOST = 16


class PictureCache:
    """An LRU cache of decoded pictures and their compressed strips, by artifact, bounded by bytes.

    A picture that alone exceeds the budget is not cached. The bytes under an artifact's name never change,
    so entries stay valid.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget, self._bytes = budget_bytes, 0
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._strips: WeakKeyDictionary[Picture, dict[int, Strip]] = WeakKeyDictionary()

    def get(self, name: str) -> Picture | None:
        """Returns the picture, and marks it as used last."""
        found = self._pictures.get(name)
        if found is not None:
            self._pictures.move_to_end(name)
        return found

    def keep(self, name: str, picture: Picture) -> None:
        """Adds a decoded picture."""
        if name in self._pictures or _bytes(picture) > self._budget:
            return
        self._pictures[name] = picture
        self._bytes += _bytes(picture)
        while self._bytes > self._budget or len(self._pictures) > _MOST:
            _, oldest = self._pictures.popitem(last=False)
            self._bytes -= _bytes(oldest)

    def strips(self, picture: Picture) -> dict[int, Strip]:
        """The compressed strips of a picture, by their first row; they are dropped with the picture."""
        return self._strips.setdefault(picture, {})


def _bytes(picture: Picture) -> int:
    """An upper estimate of a picture's memory: compressed strips rarely take more than its levels."""
    return 2 * (picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes))
