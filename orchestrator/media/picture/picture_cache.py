"""Opened pictures: those worked on lately, so that reading and writing them again costs little."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary

from orchestrator.media.picture.picture import Picture
from orchestrator.media.picture.png import Strip

# Small pictures are decoded in no time: keeping many of them would only make memory grow.
_MOST = 16


class Opened:
    """Decoded pictures by their artifact's name, and their packed strips: a few, within a budget of bytes.

    Forgets the one asked for longest ago when another needs its room. What alone exceeds the budget is not
    kept. Nothing ever changes under an artifact's name, so what is kept stays true.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget, self._bytes = budget_bytes, 0
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._strips: WeakKeyDictionary[Picture, dict[int, Strip]] = WeakKeyDictionary()

    def get(self, name: str) -> Picture | None:
        """The picture, which now counts as the one asked for last."""
        found = self._pictures.get(name)
        if found is not None:
            self._pictures.move_to_end(name)
        return found

    def keep(self, name: str, picture: Picture) -> None:
        """Keeps a picture that was decoded."""
        if name in self._pictures or _bytes(picture) > self._budget:
            return
        self._pictures[name] = picture
        self._bytes += _bytes(picture)
        while self._bytes > self._budget or len(self._pictures) > _MOST:
            _, oldest = self._pictures.popitem(last=False)
            self._bytes -= _bytes(oldest)

    def strips(self, picture: Picture) -> dict[int, Strip]:
        """The strips of a picture that have been packed, by their first row; they go with the picture."""
        return self._strips.setdefault(picture, {})


def _bytes(picture: Picture) -> int:
    """Packed, a picture takes hardly more room than its levels, and mostly much less."""
    return 2 * (picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes))
