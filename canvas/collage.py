"""Collages: rows of original, original with the region painted white, and result.

All panels are as large as the picture. There is white between panels and between rows, none around them;
with captions, every row has a strip for them below its panels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from canvas.view import blank, white

# Lines composed at a time: a row of panels is never in memory as a whole.
_LINES = 256


@dataclass(frozen=True)
class Spacing:
    """White between panels and between rows, in pixels."""

    horizontal: int = 20
    vertical: int = 20


@dataclass(frozen=True, eq=False)
class CollageRow:
    """Pictures (height, width, 3), a mask (height, width), and a caption for each panel.

    The result may be of 8 bits where the original has 16. Captions are three or none; a collage's rows all
    have some, or none has.
    """

    original: np.ndarray
    mask: np.ndarray
    result: np.ndarray
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """The layout of a collage of panels `width` x `height`, in pixels."""

    width: int
    height: int
    rows: int
    spacing: Spacing = Spacing()
    captioned: bool = False

    @property
    def sheet_width(self) -> int:
        """Width of the whole collage."""
        return 3 * self.width + 2 * self.spacing.horizontal

    @property
    def sheet_height(self) -> int:
        """Height of the whole collage."""
        return self.rows * (self.height + self.strip) + (self.rows - 1) * self.spacing.vertical

    @property
    def lefts(self) -> tuple[int, int, int]:
        """Left edges of the three panels."""
        step = self.width + self.spacing.horizontal
        return 0, step, 2 * step

    @property
    def strip(self) -> int:
        """Height of the caption strip below every row of panels."""
        return max(34, int(0.08 * self.height)) if self.captioned else 0

    @property
    def font_size(self) -> int:
        """Font size of captions that fit their panel."""
        return max(16, int(0.48 * self.strip))


def bands(row: CollageRow, grid: Grid, captions: np.ndarray | None, *, first: bool) -> Iterator[np.ndarray]:
    """Yields a row of a collage from the top down, in bands (any height, sheet width, 3).

    `captions` is the row's drawn strip. The white gap above the row is included, except for the `first` row.
    """
    if not first:
        yield _white(grid.spacing.vertical, grid, row.original.dtype)
    for top in range(0, grid.height, _LINES):
        lines = slice(top, min(top + _LINES, grid.height))
        original, result = row.original[lines], _to_depth(row.result[lines], row.original.dtype)
        band = _white(len(original), grid, row.original.dtype)
        panels = (original, blank(original, row.mask[lines]), result)
        for left, panel in zip(grid.lefts, panels, strict=True):
            band[:, left : left + grid.width] = panel
        yield band
    if captions is not None:
        yield captions


def _to_depth(levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Levels converted to a type of the same or a greater depth."""
    return levels.astype(dtype, copy=False) * (white(dtype) // white(levels.dtype))


def _white(lines: int, grid: Grid, dtype: np.dtype) -> np.ndarray:
    return np.full((lines, grid.sheet_width, 3), white(dtype), dtype)
