"""Outlines: moves a mask's border by exact distances, fills holes and removes specks.

Distances are Euclidean, from pixel centre to pixel centre. The picture's edge is not a border: nothing is
known beyond it, so masks do not shrink away from it.
"""

from __future__ import annotations

import cv2
import numpy as np

from canvas.box import PixelBox, tiles
from canvas.distance import distance_to_outside

# The size of a tile is at least this, and at least so many times its halo: otherwise more time would go into
# the halos than into the tiles.
_TILE = 1024
_HALOS = 4
# A soft mask is moved level by level; sixteen levels are finer than what can be seen at a border. Masks for
# which that would take many seconds (by the number of pixels visited) have fewer levels, at least four.
_LEVELS, _FEWEST_LEVELS = 16, 4
_PIXELS = 500_000_000
# OpenCV's distances are rounded; up to 1024 pixels, different distances differ by more than twice this.
_ROUNDING = 2e-4


def grow(mask: np.ndarray, *, by: float) -> np.ndarray:
    """Gives every pixel the highest degree found within `by` pixels.

    Exact for masks of one degree; for softer masks, the degrees of added pixels are rounded down to
    sixteenths of the highest degree, in large pictures to quarters.
    """
    height, width = mask.shape
    whole = PixelBox(0, 0, width, height)
    halo = int(np.ceil(by))
    size = max(_TILE, _HALOS * halo)
    levels = _levels(mask, visited=_visited(height, size, halo) * _visited(width, size, halo))
    result = mask.copy()
    for tile, around in tiles(whole, size=size, halo=halo, height=height, width=width):
        part, target, core = mask[around.window], result[tile.window], tile.within(around).window
        for level in levels:
            below = part < level
            if below.all() or not below[core].any():
                continue
            away = distance_to_outside(below)[core]
            target[(away <= by + _ROUNDING) & (target < level)] = level
    return result


def shrink(mask: np.ndarray, *, by: float) -> np.ndarray:
    """Gives every pixel the lowest degree found within `by` pixels: the outside grows inward."""
    return 1.0 - grow(1.0 - mask, by=by)


def remove_specks(mask: np.ndarray, *, share: float = 0.01) -> np.ndarray:
    """Removes components smaller than this share of the largest from a mask, uint8 of 0 and 1.

    Models scatter single pixels. The crop around a region must not grow to include them.
    """
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return mask
    around = slice(top, top + height), slice(left, left + width)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[around], connectivity=8)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = np.concatenate([[False], areas >= share * areas.max()])
    if large[1:].all():
        return mask
    result = np.zeros_like(mask)
    result[around] = large[labels]
    return result


def fill_holes(mask: np.ndarray, *, at_most: int) -> np.ndarray:
    """Fills holes of at most so many pixels with 1.

    A hole is a component of pixels below one half that the region encloses; one that reaches the edge of
    the array is not a hole.
    """
    outside = (mask < 0.5).view(np.uint8)
    framed = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(1,))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(framed, connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] <= at_most
    hole[0] = False  # the region itself
    hole[labels[0, 0]] = False  # the frame, and all that is connected with it
    result = mask.copy()
    result[hole[labels[1:-1, 1:-1]]] = 1.0
    return result


def _visited(side: int, size: int, halo: int) -> int:
    """The number of pixels in all tiles along a side, halos included, at most."""
    return side + 2 * halo * ((side - 1) // size)


def _levels(mask: np.ndarray, *, visited: int) -> list[float]:
    """The degrees at which a mask is moved; each level visits so many pixels."""
    highest = float(mask.max(initial=0.0))
    if highest == 0:
        return []
    if ((mask == 0) | (mask == highest)).all():
        return [highest]
    levels = min(max(_PIXELS // visited, _FEWEST_LEVELS), _LEVELS)
    return [highest * step / levels for step in range(1, levels + 1)]
