"""Masks: which pixels belong to a region, and to what degree.

Masks are float32 shaped (height, width) in [0, 1]; 1.0 means the pixel belongs to the region wholly. A
pixel belongs to a drawn shape if its centre does, so shapes that share an edge share no pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from canvas.box import PixelBox
from canvas.outline import fill_holes, grow, shrink
from canvas.region import All, Best, Box, Choice, Index, MaskCandidate, Operation, Polarity, Shaping
from intarsia.errors import EmptyRegion, InvalidRequest

# How often a polygon's edges may cross a row of pixels: this takes seconds, and is a hundred times more than
# the outline of an object in the largest picture needs.
_CROSSINGS = 10_000_000

# Degrees below this are 0 in a mask picture of 256 levels, which shows users that the pixel is outside. Such
# pixels must not change.
_FAINTEST = 0.5 / 255


def polygon_mask(
    corners: Sequence[tuple[float, float]], height: int, width: int, *, field: str = "region"
) -> np.ndarray:
    """The inside of a closed outline of (x, y) corners, by the even-odd rule. It may overhang.

    Raises `InvalidRequest` for an outline that crosses the picture's rows more than ten million times;
    `field` is the path of the region that it belongs to.
    """
    outline = np.asarray(corners, np.float64)
    ends = np.roll(outline, -1, axis=0)
    firsts = _centre(np.minimum(outline[:, 1], ends[:, 1]), height)
    lasts = _centre(np.maximum(outline[:, 1], ends[:, 1]), height)
    crossings = int((lasts - firsts).sum())
    if crossings > _CROSSINGS:
        raise InvalidRequest(
            f"the polygon is too complex: its edges cross rows of pixels {crossings} times, at most "
            f"{_CROSSINGS} crossings are allowed; send fewer corners, or a mask",
            field=f"{field}.polygon.corners",
        )
    mask = np.zeros((height, width), np.float32)
    top, bottom = _centres(outline[:, 1].min(), outline[:, 1].max(), height)
    left, right = _centres(outline[:, 0].min(), outline[:, 0].max(), width)
    if top >= bottom or left >= right:
        return mask
    # Along a row of pixels, every crossed edge switches between inside and outside.
    flips = np.zeros((bottom - top, right - left + 1), np.uint8)
    for (x0, y0), (x1, y1), first, last in zip(outline, ends, firsts, lasts, strict=True):
        if first < last:
            rows = np.arange(first, last)
            crossed = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(crossed - 0.5), left, right).astype(np.int64)
            flips[rows - top, columns - left] ^= 1
    mask[top:bottom, left:right] = np.bitwise_xor.accumulate(flips, axis=1)[:, :-1]
    return mask


def box_mask(box: Box, height: int, width: int) -> np.ndarray:
    """The inside of a rectangle, which may overhang."""
    mask = np.zeros((height, width), np.float32)
    top, bottom = _centres(box.top, box.bottom, height)
    left, right = _centres(box.left, box.right, width)
    mask[top:bottom, left:right] = 1.0
    return mask


def mask_from_picture(pixels: np.ndarray, polarity: Polarity) -> np.ndarray:
    """Converts levels (height, width), uint8 or uint16, to a mask.

    `pixels` are grey levels for white and black, the alpha channel for opaque and transparent. Degrees
    that round to 0 of 255 become 0.
    """
    most = np.iinfo(pixels.dtype).max
    if polarity in (Polarity.BLACK_INSIDE, Polarity.TRANSPARENT_INSIDE):
        pixels = most - pixels  # in integers, so that 51 of 255 gives the same degree for either polarity
    return _clear_faint(np.divide(pixels, most, dtype=np.float32))


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask scaled to another size: degrees are averaged to shrink it, interpolated to enlarge it."""
    least = (min(width, mask.shape[1]), min(height, mask.shape[0]))
    smaller = cv2.resize(mask, least, interpolation=cv2.INTER_AREA)
    larger = cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR)
    return _clear_faint(np.minimum(larger, 1.0, out=larger))


def apply_threshold(mask: np.ndarray, threshold: float) -> np.ndarray:
    """Sets degrees from the threshold on to 1, and those below to 0."""
    return (mask >= np.float32(threshold)).astype(np.float32)


def degrees(candidate: MaskCandidate) -> np.ndarray:
    """The candidate's mask as float32; the same array if it is float32 already."""
    return candidate.mask.astype(np.float32, copy=False)


def choose(candidates: Sequence[MaskCandidate], choice: Choice, *, field: str = "region") -> MaskCandidate:
    """Chooses a candidate; the union of all candidates has the best score among them.

    Raises `EmptyRegion` if there are no candidates, and `InvalidRequest` for an index out of range; `field`
    is the path of the region that the candidates were found for.
    """
    ranked = sorted(candidates, key=lambda candidate: -candidate.score)
    if not ranked:
        raise EmptyRegion("no candidates were found; select the region in another way")
    if isinstance(choice, Best):
        return ranked[0]
    if isinstance(choice, All):
        return replace(ranked[0], mask=np.maximum.reduce([one.mask for one in ranked]))
    if isinstance(choice, Index):
        if not 0 <= choice.index < len(ranked):
            raise InvalidRequest(
                f"there are {len(ranked)} candidates, so the index must be below that, got {choice.index}",
                field=f"{field}.choice.index",
            )
        return ranked[choice.index]
    # min() keeps the first of equals, which is the one with the higher score.
    return min(ranked, key=lambda candidate: _distance(candidate.mask, choice.x, choice.y))


def shape(mask: np.ndarray, shaping: Shaping) -> np.ndarray:
    """Fills the mask's holes, then grows, shrinks and inverts it, as `shaping` says; feathers come later.

    Degrees that round to 0 of 255 become 0. Returns the same array if there is nothing to do.
    """
    box = extent(mask)
    if box is not None and (shaping.fill_holes or shaping.grow or shaping.shrink > 0):
        # One pixel more than growing needs, so that shrinking sees the outside on every side.
        around = box.widened(int(np.ceil(shaping.grow or 0)) + 1, height=mask.shape[0], width=mask.shape[1])
        part = mask[around.window]
        if shaping.fill_holes:
            part = fill_holes(part, at_most=shaping.fill_holes)
        if shaping.grow:
            part = grow(part, by=shaping.grow)
        if shaping.shrink > 0:
            part = shrink(part, by=shaping.shrink)
        mask = np.zeros(mask.shape, np.float32)
        mask[around.window] = _clear_faint(part)
    return _clear_faint(1.0 - mask) if shaping.invert else mask


def combine(mask: np.ndarray, other: np.ndarray, operation: Operation) -> np.ndarray:
    """Combines a mask with another one: union, difference or intersection.

    Degrees that round to 0 of 255 become 0.
    """
    if operation is Operation.PLUS:
        return np.maximum(mask, other)
    if operation is Operation.MINUS:
        return _clear_faint(np.minimum(mask, 1.0 - other))
    return np.minimum(mask, other)


def bounding_box(mask: np.ndarray) -> PixelBox:
    """The smallest box around every pixel above 0. Raises `EmptyRegion` if there is none."""
    box = extent(mask)
    if box is None:
        raise EmptyRegion("the region selects no pixel; click elsewhere, or shrink it less")
    return box


def area(mask: np.ndarray) -> int:
    """The number of pixels above 0."""
    return cv2.countNonZero(mask)


def extent(mask: np.ndarray) -> PixelBox | None:
    """The smallest box around every pixel above 0; None if there is no such pixel."""
    rows = np.flatnonzero(mask.max(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].max(axis=0))
    return PixelBox(int(columns[0]), top, int(columns[-1]) + 1, bottom)


def _clear_faint(mask: np.ndarray) -> np.ndarray:
    """Sets degrees that a mask picture would show as 0 to 0, in place."""
    mask[mask < _FAINTEST] = 0.0
    return mask


def _centres(start: float, end: float, size: int) -> tuple[int, int]:
    """The pixels, as a half-open range within the picture, whose centres lie in [start, end)."""
    first, last = _centre(np.array((start, end)), size)
    return int(first), int(last)


def _centre(edges: np.ndarray, size: int) -> np.ndarray:
    """Per edge, the first pixel of the picture whose centre does not lie before it; `size` if none."""
    return np.clip(np.ceil(edges - 0.5), 0, size).astype(np.int64)


def _distance(mask: np.ndarray, x: float, y: float) -> float:
    """Squared distance from a point to the nearest pixel of a mask, 0 on the pixel itself."""
    box = extent(mask)
    if box is None:
        return np.inf
    across = np.arange(box.left, box.right)
    across = np.maximum(np.maximum(across - x, x - across - 1), 0) ** 2
    nearest = np.inf
    for row in range(box.top, box.bottom):
        down = max(row - y, y - row - 1, 0.0) ** 2
        if down < nearest:
            inside = mask[row, box.left : box.right] > 0
            if inside.any():
                nearest = min(nearest, down + float(across[inside].min()))
    return nearest
