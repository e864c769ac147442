"""Crops: the part of the picture that a model sees when a region is edited, and at which size.

Masks are float32 shaped (height, width); anything above 0 belongs to the region.
Boxes are in pixels; right and bottom edges are exclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.mask import bounding_box

__all__ = ["LEAST_SIDE", "PixelBox", "WorkingSize", "crop_around", "working_size"]

# Denoisers need some surroundings: at least eight latent cells a side, whatever the region's size.
LEAST_SIDE = 64


@dataclass(frozen=True)
class WorkingSize:
    """The size of the sheet that a model works on, in pixels, and the position of the scaled crop on it.

    The crop is scaled to the box (left, top, right, bottom); the rest of the `width` x `height` sheet is
    filled by mirroring, so that the crop keeps its proportions whatever multiple a model needs.
    """

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def scaled(self) -> PixelBox:
        """The box of the scaled crop on the sheet."""
        return PixelBox(self.left, self.top, self.right, self.bottom)


def crop_around(mask: np.ndarray, *, context: float) -> PixelBox:
    """The window holding the region plus `context` times its size on every side.

    A window that meets the picture's edge slides inward instead of shrinking: a denoiser sees as much
    surrounding for a region in the corner as for one in the middle. It is at least 64 pixels a side and
    at most the picture. Raises `EmptyRegion` for a mask without pixels.
    """
    region = bounding_box(mask)
    height, width = mask.shape
    left, right = _window(region.left, region.right, width, context)
    top, bottom = _window(region.top, region.bottom, height, context)
    return PixelBox(left, top, right, bottom)


def working_size(
    crop: PixelBox, *, smallest: int, largest: int, exact: int | None = None, multiple: int = 8
) -> WorkingSize:
    """The size to which a crop is scaled and padded for a model.

    The longer side keeps its length, clamped to [smallest, largest], or becomes `exact` if that is given;
    the shorter side follows in proportion, to the nearest pixel. Both are then padded evenly to a multiple
    of `multiple`, at least 64.
    """
    longer = max(crop.width, crop.height)
    target = exact if exact is not None else min(max(longer, smallest), largest)
    width = max(1, round(crop.width * target / longer))
    height = max(1, round(crop.height * target / longer))
    left, sheet_width = _pad(width, multiple)
    top, sheet_height = _pad(height, multiple)
    return WorkingSize(sheet_width, sheet_height, left, top, left + width, top + height)


def _window(start: int, end: int, size: int, context: float) -> tuple[int, int]:
    extent = end - start
    length = min(max(extent + 2 * math.ceil(context * extent), LEAST_SIDE), size)
    first = start - (length - extent) // 2
    first = min(max(first, 0), size - length)
    return first, first + length


def _pad(length: int, multiple: int) -> tuple[int, int]:
    """The padding before a length, and the total length after padding on both sides."""
    whole = -(-max(length, LEAST_SIDE) // multiple) * multiple
    return (whole - length) // 2, whole
