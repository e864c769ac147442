"""Excludes from candidates what must not be selected: points, and masks of other things.

Masks here are uint8 of 0 and 1, as models give them, all of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from canvas.box import PixelBox
from canvas.mask import extent
from canvas.region import MaskCandidate


def excluding_points(
    candidates: Sequence[MaskCandidate], points: Sequence[tuple[float, float]]
) -> list[MaskCandidate]:
    """The candidates that cover none of these points (x, y), which lie in the picture."""
    return [one for one in candidates if not any(one.mask[int(y), int(x)] for x, y in points)]


def excluding_masks(
    candidates: Sequence[MaskCandidate], unwanted: Sequence[np.ndarray]
) -> list[MaskCandidate]:
    """The candidates without the pixels that they share with an unwanted mask.

    A candidate that shares more than half of its pixels with one unwanted mask shows the same thing and is
    dropped; so is one that has no pixel left.
    """
    masks = [(mask, box) for mask in unwanted if (box := extent(mask)) is not None]
    remaining = (_remainder(one, masks) for one in candidates)
    return [one for one in remaining if one is not None]


def _remainder(
    candidate: MaskCandidate, unwanted: Sequence[tuple[np.ndarray, PixelBox]]
) -> MaskCandidate | None:
    box = extent(candidate.mask)
    if box is None:
        return None
    total, mask = int(np.count_nonzero(candidate.mask[box.window])), None
    for other, around in unwanted:
        both = _overlap(box, around)
        shared = candidate.mask[both.window] & other[both.window]
        count = int(np.count_nonzero(shared))
        if 2 * count > total:
            return None
        if count:
            mask = candidate.mask.copy() if mask is None else mask
            mask[both.window] &= 1 - shared
    if mask is None:
        return candidate
    return replace(candidate, mask=mask) if mask[box.window].any() else None


def _overlap(one: PixelBox, other: PixelBox) -> PixelBox:
    """The intersection of two boxes; without extent if they do not overlap."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    return PixelBox(
        left, top, max(left, min(one.right, other.right)), max(top, min(one.bottom, other.bottom))
    )
