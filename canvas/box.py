"""Boxes of whole pixels; right and bottom edges are exclusive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PixelBox:
    """An upright rectangle of whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array: `mask[box.window]`."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: PixelBox) -> PixelBox:
        """The same rectangle, counted from the top left corner of `other`."""
        return PixelBox(
            self.left - other.left, self.top - other.top, self.right - other.left, self.bottom - other.top
        )

    def widened(self, by: int, *, height: int, width: int) -> PixelBox:
        """`by` pixels more on every side, as far as a picture of that size goes."""
        return PixelBox(
            max(0, self.left - by),
            max(0, self.top - by),
            min(width, self.right + by),
            min(height, self.bottom + by),
        )


def full_box(pixels: np.ndarray) -> PixelBox:
    """The box of all pixels of an array (height, width, ...)."""
    height, width = pixels.shape[:2]
    return PixelBox(0, 0, width, height)


def tiles(
    box: PixelBox, *, size: int, halo: int, height: int, width: int
) -> Iterator[tuple[PixelBox, PixelBox]]:
    """Covers `box` with tiles; yields each tile and the same tile with `halo` pixels around it.

    An operation that looks at pixels at most `halo` away can run tile by tile: memory stays small, and tiles
    without work are skipped. The tiles' edges lie at multiples of `size` in the picture, so the result does
    not depend on where the box lies.
    """
    for top in range(box.top // size * size, box.bottom, size):
        for left in range(box.left // size * size, box.right, size):
            tile = PixelBox(
                max(left, box.left),
                max(top, box.top),
                min(left + size, box.right),
                min(top + size, box.bottom),
            )
            yield tile, tile.widened(halo, height=height, width=width)
