"""Layouts: the sheets on which a region is worked, each a piece of the picture at a working size.

Usually there is one, brought to the size the model was made for. Damage that is larger keeps its
resolution and is worked in overlapping tiles, one after the other, so that each sees what those before
it have made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from canvas.box import PixelBox
from canvas.crop import Working, crop_around, working_size
from intarsia.errors import InvalidRequest

LARGEST_SIDE = 2048  # pixels a side that a single sheet may have


class Layout(Enum):
    """How a region is laid out for a model."""

    FIT = "fit"  # one crop, brought to the size the weights were made for
    KEEP = "keep"  # one crop at its own resolution
    TILES = "tiles"  # the crop at its own resolution, in tiles of the size the weights were made for
    WHOLE = "whole"  # the whole picture, brought to the size the weights were made for


@dataclass(frozen=True)
class Cut:
    """How a region is cut out. `context` is a share of the region's size, the others are pixels.

    `working_size` is the longer side of a sheet; `overlap` is what neighbouring tiles share. None leaves
    the choice to `lay_out`.
    """

    context: float = 0.5
    working_size: int | None = None
    layout: Layout | None = None
    overlap: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A piece of the picture, and how it is scaled and padded for the model."""

    box: PixelBox
    working: Working


@dataclass(frozen=True)
class Laid:
    """The part of the picture that is looked at, its sheets in the order they are worked on, and how far
    neighbouring ones run into each other."""

    crop: PixelBox
    sheets: tuple[Sheet, ...]
    overlap: int = 0


def lay_out(mask: np.ndarray, cut: Cut, *, size: int, multiple: int, tiled: bool = False) -> Laid:
    """The sheets for a region of a picture, mask float32 (height, width).

    `size` is the longer side the weights were made for. `tiled` works regions whose crop is larger than
    that in tiles, unless the cut says otherwise. Raises `EmptyRegion`; `InvalidRequest` for a crop too
    large to be kept at its own resolution.
    """
    height, width = mask.shape
    whole = PixelBox(0, 0, width, height)
    crop = whole if cut.layout is Layout.WHOLE else crop_around(mask, context=cut.context)
    longer, side = max(crop.width, crop.height), cut.working_size or size
    layout = cut.layout or (Layout.TILES if tiled and longer > side else Layout.FIT)
    if layout is Layout.TILES and longer > side:
        overlap = side // 4 if cut.overlap is None else min(cut.overlap, side // 2)
        return Laid(crop, _tiles(mask, crop, side, overlap, multiple), overlap)
    if layout in (Layout.KEEP, Layout.TILES):
        if longer > LARGEST_SIDE:
            raise InvalidRequest(
                f"the region's crop is {crop.width} x {crop.height} pixels and is not worked at its own "
                f"resolution beyond {LARGEST_SIDE} a side; let it be brought to fit, or show less context",
                field="cut.layout",
            )
        exact: int | None = longer
    else:
        exact = cut.working_size
    working = working_size(crop, smallest=size // 2, largest=size, exact=exact, multiple=multiple)
    return Laid(crop, (Sheet(crop, working),))


def blend(remaining: np.ndarray, region: np.ndarray, overlap: int) -> np.ndarray:
    """How strongly a tile's patch covers what is there, float32 of the tile's size.

    Wholly where nothing was made yet (`remaining`), not at all outside the `region`, and in what earlier
    tiles have made evenly less over half of the `overlap`, so that no seam is left. The rest of what they
    have made is there to be seen. Both are bool.
    """
    if not remaining.any():
        return np.zeros(region.shape, np.float32)
    away = cv2.distanceTransform((~remaining).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = np.clip(1 - away / (overlap // 2 + 1), 0, 1).astype(np.float32)
    alpha[~region] = 0
    return alpha


def _tiles(mask: np.ndarray, crop: PixelBox, side: int, overlap: int, multiple: int) -> tuple[Sheet, ...]:
    """Tiles of `side` pixels over the crop, row by row, those left out that add no pixel of the region.

    They are spread evenly, and hang over the crop rather than shrink where the picture has room.
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
    """Where tiles begin and end along one side of the crop."""
    length = min(max(end - start, side), whole)
    start = min(max(start - (length - (end - start)) // 2, 0), whole - length)
    if length <= side:
        return [(start, start + length)]
    count = math.ceil((length - overlap) / (side - overlap))
    return [
        (first, first + side)
        for first in (start + round(n * (length - side) / (count - 1)) for n in range(count))
    ]
