"""Changes: a picture that is another's but for a window. Writing it costs what the window costs."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from orchestrator.media.picture.png import Strip, packed
from orchestrator.media.picture.strips import each


@dataclass(frozen=True, eq=False)
class Change:
    """New pixels, (window height, window width, ...), for the `window` of a picture.

    `strips` are those of the picture before that have been packed, by their first row. They are not packed
    again, and others that are met are added.
    """

    window: PixelBox
    pixels: np.ndarray
    strips: MutableMapping[int, Strip]

    def laid(self, before: np.ndarray, rows: slice) -> np.ndarray:
        """These rows of the picture before, (height, width, ...), as they are now."""
        top, bottom = max(self.window.top, rows.start), min(self.window.bottom, rows.stop)
        if top >= bottom:
            return before[rows]
        result = before[rows].copy()
        part = self.pixels[top - self.window.top : bottom - self.window.top]
        result[top - rows.start : bottom - rows.start, self.window.left : self.window.right] = part
        return result

    def packed(self, every: list[slice], levels_of: Callable[[slice], np.ndarray]) -> list[Strip]:
        """The picture's strips as they are now, each of these rows; `levels_of` rows are as they are now."""
        found = {rows.start: None if self._touches(rows) else self.strips.get(rows.start) for rows in every}
        missing = [rows for rows in every if found[rows.start] is None]
        for rows, strip in zip(missing, each(missing, lambda rows: _strip(rows, levels_of)), strict=True):
            found[rows.start] = strip
            if not self._touches(rows):
                self.strips[rows.start] = strip
        return [strip for strip in found.values() if strip is not None]

    def _touches(self, rows: slice) -> bool:
        # A strip is told by differences to the row above it.
        return self.window.top < rows.stop and self.window.bottom >= rows.start


def no_change() -> Change:
    """Nothing is new, and nothing is known of the picture."""
    return Change(PixelBox(0, 0, 0, 0), np.empty((0, 0)), {})


def _strip(rows: slice, levels_of: Callable[[slice], np.ndarray]) -> Strip:
    if rows.start == 0:
        return packed(levels_of(rows), None)
    levels = levels_of(slice(rows.start - 1, rows.stop))
    return packed(levels[1:], levels[0])
