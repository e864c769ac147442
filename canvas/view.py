"""Views: pictures that show an edit or a region, beside the edited picture itself.

Pictures are (height, width, 3), uint8 or uint16; masks float32 (height, width) in [0, 1] of their size.
"""

from __future__ import annotations

import cv2
import numpy as np

from canvas.mask import extent

# White between pictures shown side by side, in pixels.
GAP = 20

_TINT = np.array((255, 32, 96), np.float32) / 255
_STRENGTH = 0.4
# The outline has a light rim outside and a dark rim inside, so that it is visible on any background. A rim is
# one pixel wide for every so many pixels of the picture's shorter side.
_RIM = 400


def side_by_side(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two pictures of the same size, with a white gap between them."""
    gap = np.full((len(before), GAP, 3), white(before.dtype), before.dtype)
    return np.hstack((before, gap, after))


def overlay(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the region tinted in proportion to the mask's degrees, and its outline drawn."""
    result = picture.copy()
    box = extent(mask)
    if box is None:
        return result
    height, width = mask.shape
    rim = max(1, round(min(height, width) / _RIM))
    around = box.widened(rim, height=height, width=width).window
    part, weight = result[around], mask[around]
    tint = _TINT * white(picture.dtype)
    part[...] = np.rint(part + (tint - part) * (_STRENGTH * weight[..., None]))

    # A pixel more on every side, so that a region at the picture's edge has an outline there.
    region = cv2.copyMakeBorder((weight > 0).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    within = (slice(1, -1), slice(1, -1))
    part[(cv2.dilate(region, reach) > region)[within]] = white(picture.dtype)
    part[(cv2.erode(region, reach) < region)[within]] = 0
    return result


def blank(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the region painted white, wherever the mask is at least one half."""
    result = picture.copy()
    result[mask >= 0.5] = white(picture.dtype)
    return result


def layer(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The changed pixels alone, as RGBA: laid over the picture before, they give exactly the picture after.

    Opaque where any value changed, wholly transparent and black everywhere else.
    """
    changed = (before != after).any(axis=2)
    sheet = np.zeros((*changed.shape, 4), after.dtype)
    sheet[changed, :3] = after[changed]
    sheet[changed, 3] = white(after.dtype)
    return sheet


def white(dtype: np.dtype) -> int:
    """The highest level of a type."""
    return int(np.iinfo(dtype).max)
