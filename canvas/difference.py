"""Differences: how much of a region a patch changes, beyond what its model changes everywhere."""

from __future__ import annotations

import cv2
import numpy as np

# Outside of its hole a model redraws what is there, with small errors. A pixel is changed if it differs by
# more than most of those do, within these levels of 255: less cannot be seen, and more is no noise.
_MOST, _FACTOR, _LEVELS = 0.95, 1.5, (8.0, 24.0)


def changed_share(patch: np.ndarray, original: np.ndarray, hole: np.ndarray) -> float:
    """The share of the hole's pixels, in [0, 1], in which patch and original differ by more than the
    model's own noise.

    `patch` and `original` are the redrawn and the original crop, (height, width, 3) of the same type; `hole`
    is bool (height, width), and not empty. The noise is measured outside the hole.
    """
    most = np.iinfo(patch.dtype).max
    difference = cv2.absdiff(patch, original).max(axis=2)
    outside = difference[~hole]
    noise = _FACTOR * float(np.quantile(outside, _MOST)) if outside.size else 0.0
    least, greatest = (level / 255 * most for level in _LEVELS)
    return float(np.mean(difference[hole] > min(max(noise, least), greatest)))
