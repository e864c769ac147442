"""Unwanted: candidates without those, and without the parts, that must not be selected.

Masks here are uint8 of 0 and 1, as models give them, all of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from canvas.box import PixelBox
from canvas.mask import extent
from canvas.region import Candidate


def clear_of(candidates: Sequence[Candidate], points: Sequence[tuple[float, float]]) -> list[Candidate]:
    """The candidates that cover none of these points (x, y), which lie in the picture."""
    return [one for one in candidates if not any(one.mask[int(y), int(x)] for x, y in points)]


def without(candidates: Sequence[Candidate], unwanted: Sequence[np.ndarray]) -> list[Candidate]:
    """The candidates that are none of the unwanted things, without the pixels they share with these.

    One that shares more than half of its pixels with a single thing is that thing, and is dropped; so is
    one that has no pixel left.
    """
    things = [(mask, box) for mask in unwanted if (box := extent(mask)) is not None]
    left = (_left(one, things) for one in candidates)
    return [one for one in left if one is not None]


def _left(candidate: Candidate, things: Sequence[tuple[np.ndarray, PixelBox]]) -> Candidate | None:
    box = extent(candidate.mask)
    if box is None:
        return None
    whole, mask = int(np.count_nonzero(candidate.mask[box.window])), None
    for thing, around in things:
        both = _overlap(box, around)
        shared = candidate.mask[both.window] & thing[both.window]
        count = int(np.count_nonzero(shared))
        if 2 * count > whole:
            return None
        if count:
            mask = candidate.mask.copy() if mask is None else mask
            mask[both.window] &= 1 - shared
    if mask is None:
        return candidate
    return Candidate(mask, candidate.score) if mask[box.window].any() else None


def _overlap(one: PixelBox, other: PixelBox) -> PixelBox:
    """What lies in both boxes; without extent where nothing does."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    return PixelBox(
        left, top, max(left, min(one.right, other.right)), max(top, min(one.bottom, other.bottom))
    )
