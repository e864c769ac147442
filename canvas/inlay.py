"""Inlays: blends an edited patch back into its picture."""

from __future__ import annotations

import numpy as np

from canvas.crop import PixelBox

# Rows blended at a time, so that a large crop is never in memory as floating point numbers.
_ROWS = 256


def inlay(picture: np.ndarray, patch: np.ndarray, crop: PixelBox, alpha: np.ndarray) -> np.ndarray:
    """A new picture with `patch` blended in over `crop` with the opacity `alpha`.

    `picture` is (height, width, 3) uint8 or uint16, `patch` (crop height, crop width, 3) of either type,
    `alpha` float32 in [0, 1] of the picture's size; only its part inside the crop counts. Values are
    rounded to the nearest. Every pixel where alpha is 0, or outside the crop, keeps its exact value.
    """
    result = picture.copy()
    scale = np.iinfo(picture.dtype).max / np.iinfo(patch.dtype).max
    for start in range(0, crop.height, _ROWS):
        rows = slice(crop.top + start, min(crop.top + start + _ROWS, crop.bottom))
        below = result[rows, crop.left : crop.right]
        weight = alpha[rows, crop.left : crop.right, None]
        if not weight.any():
            continue
        blend = np.multiply(patch[start : start + _ROWS], scale, dtype=np.float32)
        blend -= below
        blend *= weight
        blend += below
        below[...] = np.rint(blend, out=blend)
    return result
