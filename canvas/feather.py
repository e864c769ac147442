"""Feathers: a patch's opacity, which falls softly towards the region's border."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from canvas.box import tiles
from canvas.distance import distance_to_outside
from canvas.mask import bounding_box

_TILE = 1024
_SQUARE = np.ones((3, 3), np.uint8)


def feather(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Softens the mask of a whole picture inward over `pixels`; float32 of the same shape.

    The result is 0 wherever the mask is 0, and never above the mask, so nothing outside the region changes.
    It rises linearly from the border and reaches the mask's own value `pixels` further in, or in the middle
    of parts too thin for that. The picture's edge is not a border. Raises `EmptyRegion`.
    """
    box = bounding_box(mask)
    height, width = mask.shape
    alpha = np.zeros(mask.shape, np.float32)
    if pixels <= 0.5:  # the centre of a border pixel is that far inside
        alpha[box.window] = mask[box.window]
        return alpha
    stride = _stride(pixels)
    halo = (math.ceil(2 * pixels / stride) + 4) * stride
    # Blocks of `stride` pixels have the same grid wherever the box begins.
    blocks = replace(box, left=box.left // stride * stride, top=box.top // stride * stride)
    for tile, around in tiles(blocks, size=_TILE, halo=halo, height=height, width=width):
        inside = mask[around.window] > 0
        core = tile.within(around).window
        if not inside[core].any():
            continue
        alpha[tile.window] = mask[tile.window]
        if not inside.all():
            alpha[tile.window] *= _rise(inside, pixels, stride)[core]
    return alpha


def _rise(inside: np.ndarray, pixels: float, stride: int) -> np.ndarray:
    """The ramp from 0 at the border to 1 at the feather's inner end."""
    depth = distance_to_outside(inside)
    # Greater depths make no difference, so what lies far from a tile cannot change it.
    np.minimum(depth, np.float32(pixels + 1), out=depth)
    # Depths are between pixel centres; the border itself runs half a pixel from the outermost.
    reach = np.minimum(_half_width(depth, pixels, stride) - np.float32(0.5), np.float32(pixels))
    return np.clip((depth - np.float32(0.5)) / reach, 0.0, 1.0)


def _half_width(depth: np.ndarray, pixels: float, stride: int) -> np.ndarray:
    """The greatest depth of the region within `pixels` steps of each pixel, at least 1.

    The steps stay inside the region, so a thick part across a gap does not count for a thin one. They are
    taken in blocks of `stride` pixels (smaller gaps are ignored): a wide feather needs no finer result and
    takes no longer.
    """
    height, width = depth.shape
    deepest: np.ndarray = np.zeros((-(-height // stride) * stride, -(-width // stride) * stride), np.float32)
    deepest[:height, :width] = depth
    if stride > 1:
        deepest = deepest.reshape(deepest.shape[0] // stride, stride, -1, stride).max(axis=(1, 3))
    outside = deepest == 0
    for _ in range(math.ceil(pixels / stride)):
        deepest = cv2.dilate(deepest, _SQUARE)
        deepest[outside] = 0
    if stride > 1:
        deepest = cv2.dilate(deepest, _SQUARE)  # so that interpolation finds no zero beside the region
        deepest = cv2.resize(deepest, None, fx=stride, fy=stride, interpolation=cv2.INTER_LINEAR)
    return np.maximum(np.maximum(deepest[:height, :width], depth), 1)


def _stride(pixels: float) -> int:
    """A power of two that keeps the number of steps below 32."""
    return 2 ** max(0, math.floor(math.log2(pixels / 16)))
