"""Layouts: the sheets a model works on for one region, each a piece of the picture at a working size.

Usually there is one sheet, scaled to the size the model was trained for. Larger damage keeps its resolution
and is filled in overlapping tiles, one after the other, so that each tile sees the result of the tiles
before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from canvas.box import PixelBox
from canvas.crop import WorkingSize, crop_around, working_size
from canvas.distance import distance_to_outside
from intarsia.errors import InvalidRequest

LARGEST_SIDE = 2048  # largest side of a single sheet, in pixels


class Layout(Enum):
    """The ways to lay a region out for a model."""

    FIT = "fit"  # one crop, scaled to a size that the model is good at
    KEEP = "keep"  # one crop at its own resolution
    TILES = "tiles"  # the crop at its own resolution, in tiles of the model's native size
    WHOLE = "whole"  # the whole picture, scaled in the same way


@dataclass(frozen=True)
class Cut:
    """Options for cutting a region out. `context` is a fraction of the region's size, the others are pixels.

    `working_size` is the longer side of a sheet; `overlap` is the overlap of neighbouring tiles. None leaves
    the choice to `lay_out`.
    """

    context: float = 0.5
    working_size: int | None = None
    layout: Layout | None = None
    overlap: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A piece of the picture, and its size when scaled and padded for the model."""

    box: PixelBox
    working: WorkingSize


@dataclass(frozen=True)
class SheetLayout:
    """The part of the picture that the model sees, its sheets in the order they are processed, and by how
    many pixels neighbouring sheets overlap."""

    crop: PixelBox
    sheets: tuple[Sheet, ...]
    overlap: int = 0


def lay_out(
    mask: np.ndarray,
    cut: Cut,
    *,
    size: int,
    multiple: int,
    sizes: Sequence[int] = (),
    tiled: bool = False,
) -> SheetLayout:
    """Computes the sheets for a region of a picture; the mask is float32 (height, width).

    `size` is the model's native size, the longer side in pixels; `sizes` are those at which it does what
    is promised of it. Unless the cut says otherwise, a single sheet has the smallest of these that holds the
    crop, or the largest; where none is listed, the crop keeps its own size between half of and the whole
    native size. With `tiled`, a crop larger than the native size is processed in tiles.

    Raises `EmptyRegion`, and `InvalidRequest` for a crop too large to keep its own resolution.
    """
    height, width = mask.shape
    whole = PixelBox(0, 0, width, height)
    crop = whole if cut.layout is Layout.WHOLE else crop_around(mask, context=cut.context)
    longer, side = max(crop.width, crop.height), cut.working_size or size
    layout = cut.layout or (Layout.TILES if tiled and longer > side else Layout.FIT)
    if layout is Layout.TILES and longer > side:
        overlap = side // 4 if cut.overlap is None else min(cut.overlap, side // 2)
        return SheetLayout(crop, _tiles(mask, crop, side, overlap, multiple), overlap)
    if layout in (Layout.KEEP, Layout.TILES):
        if longer > LARGEST_SIDE:
            raise InvalidRequest(
                f"the region's crop is {crop.width} x {crop.height} pixels; at its own resolution a crop may "
                f"have at most {LARGEST_SIDE} pixels a side; use the layout `fit`, or less context",
                field="cut.layout",
            )
        exact: int | None = longer
    else:
        exact = cut.working_size or _promised(sizes, longer)
    working = working_size(crop, smallest=size // 2, largest=size, exact=exact, multiple=multiple)
    return SheetLayout(crop, (Sheet(crop, working),))


def _promised(sizes: Sequence[int], longer: int) -> int | None:
    """The smallest of the sizes that holds a crop, or the largest; None if there are none."""
    return min((one for one in sizes if one >= longer), default=max(sizes, default=None))


def blend(remaining: np.ndarray, region: np.ndarray, overlap: int) -> np.ndarray:
    """The opacity of a tile's patch, float32 of the tile's size; both masks are bool.

    1 where no tile has been filled yet (`remaining`), 0 outside the `region`; over the result of earlier
    tiles it falls linearly within half of the `overlap`, so that no seam is left. The other half is there
    for the model to see.
    """
    if not remaining.any():
        return np.zeros(region.shape, np.float32)
    away = distance_to_outside(~remaining)
    alpha = np.clip(1 - away / (overlap // 2 + 1), 0, 1).astype(np.float32)
    alpha[~region] = 0
    return alpha


def _tiles(mask: np.ndarray, crop: PixelBox, side: int, overlap: int, multiple: int) -> tuple[Sheet, ...]:
    """Tiles of `side` pixels over the crop, row by row, without tiles that add no pixel of the region.

    Tiles are spaced evenly. Where the crop is smaller than a tile, the tile reaches beyond the crop if the
    picture is large enough.
    """
    height, width = mask.shape
    remaining, sheets = mask > 0, []
    for top, bottom in _spans(crop.top, crop.bottom, height, side, overlap):
        for left, right in _spans(crop.left, crop.right, width, side, overlap):
            box = PixelBox(left, top, right, bottom)
            if remaining[box.window].any():
                remaining[box.window] = False
                longer = max(box.width, box.height)
                working = working_size(box, smallest=longer, largest=longer, multiple=multiple)
                sheets.append(Sheet(box, working))
    return tuple(sheets)


def _spans(start: int, end: int, whole: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Start and end of each tile along one side of the crop."""
    length = min(max(end - start, side), whole)
    start = min(max(start - (length - (end - start)) // 2, 0), whole - length)
    if length <= side:
        return [(start, start + length)]
    count = math.ceil((length - overlap) / (side - overlap))
    return [
        (first, first + side)
        for first in (start + round(n * (length - side) / (count - 1)) for n in range(count))
    ]
