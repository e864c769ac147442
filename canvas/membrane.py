"""Membranes: bend the colours of a patch so that it meets the picture all along the border of its hole.

Just outside the hole a model redraws what is there anyway; the difference from the picture there is its
error. It is spread over the hole like a membrane that hangs on the border: the mean of its surroundings
everywhere. On plain ground this leaves neither an edge nor a streak, and texture within the hole stays.
"""

from __future__ import annotations

import cv2
import numpy as np

from canvas.mask import extent

# Width in pixels of the border where differences are looked at, and over which they are averaged.
_BORDER, _SIGMA = 3, 2.0
# A difference of more than so many times the median, plus some levels of 255, shows other content and is cut.
# A mean of more than the last number of levels says that the border is new, too: then nothing is bent.
_OUTLIER, _LEVELS, _OTHER = 4.0, 4.0, 32.0
# Each size of the membrane begins with the one of half the size, and is relaxed so many times.
_RELAXATIONS, _SMALLEST = 12, 4
_SQUARE = np.ones((2 * _BORDER + 1, 2 * _BORDER + 1), np.uint8)
_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def close_seam(patch: np.ndarray, original: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The patch of a hole, bent to meet the original picture around it.

    `patch` and `original` are the redrawn and the original crop, (height, width, 3) of the same type; `hole`
    is bool (height, width). Pixels outside the hole keep the patch's values. Without surroundings in the
    crop, or with others than the picture's, nothing is bent.
    """
    box = extent(hole)
    if box is None:
        return patch
    around = box.widened(_BORDER, height=hole.shape[0], width=hole.shape[1]).window
    hole = hole[around]
    border = (cv2.dilate(hole.view(np.uint8), _SQUARE) > 0) & ~hole
    if not border.any():
        return patch
    most = np.iinfo(patch.dtype).max
    error = np.subtract(original[around], patch[around], dtype=np.float32)
    error[~border] = 0
    size = np.abs(error[border])
    if size.mean() > _OTHER / 255 * most:
        return patch
    limit = _OUTLIER * np.median(size) + _LEVELS / 255 * most
    np.clip(error, -limit, limit, out=error)
    weight = cv2.GaussianBlur(border.astype(np.float32), (0, 0), _SIGMA)
    error = cv2.GaussianBlur(error, (0, 0), _SIGMA) / np.maximum(weight, 1e-6)[..., None]
    bent = patch.copy()
    inside = bent[around][hole] + _hang(error, border)[hole]
    bent[around][hole] = np.rint(np.clip(inside, 0, most)).astype(patch.dtype)
    return bent


def _hang(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (height, width, 3) that are the mean of their neighbours wherever they are not known."""
    height, width = known.shape
    if known.all():
        return values
    if min(height, width) <= _SMALLEST:
        guess = np.broadcast_to(values[known].mean(axis=0), values.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
        sums = cv2.resize(np.where(known[..., None], values, 0), half, interpolation=cv2.INTER_AREA)
        coarse = _hang(sums / np.maximum(share, 1e-6)[..., None], share > 0)
        guess = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    result = np.where(known[..., None], values, guess)
    for _ in range(_RELAXATIONS):
        result = cv2.filter2D(result, -1, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
        np.copyto(result, values, where=known[..., None])
    return result
