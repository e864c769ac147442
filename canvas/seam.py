"""Seams: matches the colours of a patch to the picture around the region.

Just outside the region a model redraws what is there anyway. The difference of its colours from the
picture's there is the error to correct inside, where there is nothing to compare with.
"""

from __future__ import annotations

import math

import numpy as np

from canvas.distance import distance_to_outside

# Width of the ring around the region: a share of the region's size, within these limits in pixels.
_SHARE, _NARROWEST, _WIDEST = 0.25, 4, 48
# With fewer pixels than the first number nothing is corrected, with fewer than the second only brightness.
_FEWEST, _FEW = 8, 64
# Contrast is corrected where values vary by more than this, and patch and picture correlate by this.
_FLAT, _CORRELATED = 2 / 255, 0.7
_GAINS = (0.5, 2.0)
# Pixels that differ by more than so many times the median show different content, and are left out.
_OUTLIER, _ROUNDING = 4.0, 1 / 255
_ROUNDS = 4


def match_colours(patch: np.ndarray, original: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Matches contrast and brightness of each channel of the patch to the picture around the region.

    `patch` and `original` are the redrawn and the original crop, (height, width, 3) of the same type,
    `mask` (height, width) is above 0 in the region. With few surrounding pixels in the crop, contrast is not
    changed; with hardly any, nothing is.
    """
    ring = _ring(mask > 0)
    if np.count_nonzero(ring) < _FEWEST:
        return patch
    most = np.iinfo(patch.dtype).max
    redrawn, target = patch[ring] / most, original[ring] / most
    fits = [_fit(redrawn[:, channel], target[:, channel]) for channel in range(3)]
    gain, offset = (np.array(one, np.float32) for one in zip(*fits, strict=True))
    matched = patch * gain + offset * np.float32(most)
    return np.rint(np.clip(matched, 0, most, out=matched), out=matched).astype(patch.dtype)


def _ring(inside: np.ndarray) -> np.ndarray:
    """The pixels just outside a region."""
    width = min(max(_SHARE * math.sqrt(np.count_nonzero(inside)), _NARROWEST), _WIDEST)
    outside = ~inside
    if outside.all():
        return np.zeros_like(inside)
    away = distance_to_outside(outside)
    return (away > 0) & (away <= width)


def _fit(redrawn: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Gain and offset that map redrawn values to target values, all in [0, 1], ignoring outliers."""
    gain, offset = 1.0, float(np.median(target - redrawn))
    for _ in range(_ROUNDS if redrawn.size >= _FEW else 0):
        error = np.abs(target - gain * redrawn - offset)
        inlier = error <= _OUTLIER * np.median(error) + _ROUNDING
        gain, offset = _fit_line(redrawn[inlier], target[inlier])
    return gain, offset


def _fit_line(redrawn: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Gain and offset by least squares; gain 1 where the values do not determine one."""
    gain, spread, other = 1.0, redrawn.std(), target.std()
    if spread > _FLAT and other > 0:
        covariance = float(np.mean((redrawn - redrawn.mean()) * (target - target.mean())))
        if covariance > _CORRELATED * spread * other:
            gain = float(np.clip(covariance / spread**2, *_GAINS))
    return gain, float(np.median(target - gain * redrawn))
