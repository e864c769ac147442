"""Outlines: moving a mask's border by exact distances, and closing its holes.

Distances run from pixel centre to pixel centre, the same in every direction. The picture's own edge is
not a border: nothing is known beyond it, so nothing shrinks away from it.
"""

from __future__ import annotations

import cv2
import numpy as np

from canvas.box import PixelBox, tiles

# Tiles are this large, or so many times as wide as what they have to see around them: more would be spent
# on the surroundings than on the tiles.
_TILE = 1024
_SURROUNDINGS = 4
# A soft mask is moved level by level; sixteen levels are finer than a border can be seen. Where they would
# take too long (every pixel looked at counts, seconds in all) there are fewer, but never less than four.
_LEVELS, _FEWEST_LEVELS = 16, 4
_PIXELS = 500_000_000
# OpenCV's distances carry rounding; up to 1024 pixels, different distances differ by more than twice this.
_ROUNDING = 2e-4


def grown(mask: np.ndarray, *, by: float) -> np.ndarray:
    """Every pixel takes the highest degree found within `by` pixels.

    Exact for masks of one degree; of softer masks, what is added has its degree rounded down to a
    sixteenth of the highest, in large pictures down to a quarter.
    """
    height, width = mask.shape
    whole = PixelBox(0, 0, width, height)
    halo = int(np.ceil(by))
    size = max(_TILE, _SURROUNDINGS * halo)
    levels = _levels(mask, seen=_seen(height, size, halo) * _seen(width, size, halo))
    result = mask.copy()
    for tile, around in tiles(whole, size=size, halo=halo, height=height, width=width):
        part, target, core = mask[around.window], result[tile.window], tile.within(around).window
        for level in levels:
            below = part < level
            if below.all() or not below[core].any():
                continue
            away = cv2.distanceTransform(below.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[core]
            target[(away <= by + _ROUNDING) & (target < level)] = level
    return result


def shrunk(mask: np.ndarray, *, by: float) -> np.ndarray:
    """Every pixel takes the lowest degree found within `by` pixels: the outside grows inward."""
    return 1.0 - grown(1.0 - mask, by=by)


def without_specks(mask: np.ndarray, *, share: float = 0.01) -> np.ndarray:
    """A mask, uint8 of 0 and 1, without patches tiny beside its largest: of less than this share of it.

    Models scatter a few pixels here and there. What is laid out around a region must not reach for them.
    """
    count, patches, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 2:
        return mask
    areas = facts[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[False], areas >= share * areas.max()])
    return mask if kept[1:].all() else kept[patches].view(np.uint8)


def filled(mask: np.ndarray, *, at_most: int) -> np.ndarray:
    """Holes of at most so many pixels become wholly inside.

    A hole is a patch of pixels below one half that the region encloses; what reaches the edge of the
    array is open, not a hole.
    """
    outside = (mask < 0.5).view(np.uint8)
    framed = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(1,))
    _, labels, facts, _ = cv2.connectedComponentsWithStats(framed, connectivity=4)
    hole = facts[:, cv2.CC_STAT_AREA] <= at_most
    hole[0] = False  # the region itself
    hole[labels[0, 0]] = False  # the frame, and whatever is open to it
    result = mask.copy()
    result[hole[labels[1:-1, 1:-1]]] = 1.0
    return result


def _seen(side: int, size: int, halo: int) -> int:
    """How many pixels all tiles along a side see together, surroundings included, at most."""
    return side + 2 * halo * ((side - 1) // size)


def _levels(mask: np.ndarray, *, seen: int) -> list[float]:
    """The degrees a mask is moved at; each costs a look at `seen` pixels."""
    highest = float(mask.max(initial=0.0))
    if highest == 0:
        return []
    if ((mask == 0) | (mask == highest)).all():
        return [highest]
    levels = min(max(_PIXELS // seen, _FEWEST_LEVELS), _LEVELS)
    return [highest * step / levels for step in range(1, levels + 1)]
