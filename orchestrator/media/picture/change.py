"""Changes: a picture that differs from another one only in a window, so that only that part is compressed."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from orchestrator.media.picture.png import Strip, compress_strip
from orchestrator.media.picture.strips import map_threads


@dataclass(frozen=True, eq=False)
class Change:
    """New pixels, (window height, window width, ...), for the `window` of a picture.

    `strips` are the compressed strips of the original picture so far, by their first row. They are reused,
    and further strips of the original are added.
    """

    window: PixelBox
    pixels: np.ndarray
    strips: MutableMapping[int, Strip]

    def apply_to(self, before: np.ndarray, rows: slice) -> np.ndarray:
        """Applies the change to these rows of the original picture, (height, width, ...)."""
        top, bottom = max(self.window.top, rows.start), min(self.window.bottom, rows.stop)
        if top >= bottom:
            return before[rows]
        result = before[rows].copy()
        part = self.pixels[top - self.window.top : bottom - self.window.top]
        result[top - rows.start : bottom - rows.start, self.window.left : self.window.right] = part
        return result

    def compressed_strips(self, every: list[slice], levels_of: Callable[[slice], np.ndarray]) -> list[Strip]:
        """The strips of the changed picture, one for each of `every`; `levels_of` returns its rows."""
        found = {rows.start: None if self._touches(rows) else self.strips.get(rows.start) for rows in every}
        missing = [rows for rows in every if found[rows.start] is None]
        compressed = map_threads(missing, lambda rows: _compress(rows, levels_of))
        for rows, strip in zip(missing, compressed, strict=True):
            found[rows.start] = strip
            if not self._touches(rows):
                self.strips[rows.start] = strip
        return [strip for strip in found.values() if strip is not None]

    def _touches(self, rows: slice) -> bool:
        # A strip is delta-encoded against the row above it.
        return self.window.top < rows.stop and self.window.bottom >= rows.start


def no_change() -> Change:
    """An empty change, of a picture without compressed strips."""
    return Change(PixelBox(0, 0, 0, 0), np.empty((0, 0)), {})


def _compress(rows: slice, levels_of: Callable[[slice], np.ndarray]) -> Strip:
    if rows.start == 0:
        return compress_strip(levels_of(rows), None)
    levels = levels_of(slice(rows.start - 1, rows.stop))
    return compress_strip(levels[1:], levels[0])
