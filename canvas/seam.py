"""Seams: bringing a patch to the colours of the picture around the region it is made for.

Just outside the region a model redraws what is there anyway. How its colours differ there from the
picture's is how they are off inside, where there is nothing to compare them with.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

# The ring is this share of the region's size wide, within these bounds in pixels.
_SHARE, _NARROWEST, _WIDEST = 0.25, 4, 48
# Below this many pixels nothing is known, below that only by how much colours are off in all.
_FEWEST, _FEW = 8, 64
# A contrast can be told where values vary by more than this, and vary alike in patch and picture.
_FLAT, _ALIKE = 2 / 255, 0.7
_GAINS = (0.5, 2.0)
# Pixels further off than so many times the usual are something else in patch than in picture.
_OUTLIER, _ROUNDING = 4.0, 1 / 255
_ROUNDS = 4


def match_colours(patch: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The patch with contrast and brightness of each channel as in the picture around the region.

    `patch` and `original` are the crop as redrawn and as it was, (height, width, 3) of the same type,
    `mask` (height, width) is above 0 where the region is. Without enough surroundings in the crop to judge
    by, contrast is left alone, and with next to none the patch is.
    """
    ring = _ring(mask > 0)
    if np.count_nonzero(ring) < _FEWEST:
        return patch
    most = np.iinfo(patch.dtype).max
    redrawn, there = patch[ring] / most, original[ring] / most
    fits = [_fit(redrawn[:, channel], there[:, channel]) for channel in range(3)]
    gain, offset = (np.array(one, np.float32) for one in zip(*fits, strict=True))
    matched = patch * gain + offset * np.float32(most)
    return np.rint(np.clip(matched, 0, most, out=matched), out=matched).astype(patch.dtype)


def _ring(inside: np.ndarray) -> np.ndarray:
    """The pixels just outside a region."""
    width = min(max(_SHARE * math.sqrt(np.count_nonzero(inside)), _NARROWEST), _WIDEST)
    outside = (~inside).view(np.uint8)
    if outside.all():
        return np.zeros_like(inside)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (away > 0) & (away <= width)


def _fit(redrawn: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """Gain and offset that bring redrawn values to those there, all in [0, 1], but for a few that differ."""
    gain, offset = 1.0, float(np.median(there - redrawn))
    for _ in range(_ROUNDS if redrawn.size >= _FEW else 0):
        off = np.abs(there - gain * redrawn - offset)
        usual = off <= _OUTLIER * np.median(off) + _ROUNDING
        gain, offset = _line(redrawn[usual], there[usual])
    return gain, offset


def _line(redrawn: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """By least squares, or without gain where values do not tell one."""
    gain, spread, other = 1.0, redrawn.std(), there.std()
    if spread > _FLAT and other > 0:
        together = float(np.mean((redrawn - redrawn.mean()) * (there - there.mean())))
        if together > _ALIKE * spread * other:
            gain = float(np.clip(together / spread**2, *_GAINS))
    return gain, float(np.median(there - gain * redrawn))
