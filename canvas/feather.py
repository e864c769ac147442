"""Feathers: how strongly a patch covers what is below it, softly towards the region's border."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from canvas.box import tiles
from canvas.mask import bounding_box

_TILE = 1024
_SQUARE = np.ones((3, 3), np.uint8)


def feather(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Softens a whole picture's mask inward over `pixels`; float32 of the same shape.

    0 wherever the mask is 0 and nowhere above the mask, so nothing outside the region is touched. From
    the border it rises evenly, reaching the mask's own value `pixels` further in, or at the middle of
    parts too thin for that. The picture's edge is not a border. Raises `EmptyRegion`.
    """
    box = bounding_box(mask)
    height, width = mask.shape
    alpha = np.zeros(mask.shape, np.float32)
    if pixels <= 0.5:  # the border pixel's own centre is that far in
        alpha[box.window] = mask[box.window]
        return alpha
    stride = _stride(pixels)
    halo = (math.ceil(2 * pixels / stride) + 4) * stride
    # Blocks of `stride` pixels lie alike wherever the box begins.
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
    """From 0 at the border to 1 where the feather ends."""
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Beyond the feather all depths are alike, so a tile's far surroundings cannot matter.
    np.minimum(depth, np.float32(pixels + 1), out=depth)
    # Depths are between pixel centres; the border itself runs half a pixel from the outermost.
    reach = np.minimum(_half_width(depth, pixels, stride) - np.float32(0.5), np.float32(pixels))
    return np.clip((depth - np.float32(0.5)) / reach, 0.0, 1.0)


def _half_width(depth: np.ndarray, pixels: float, stride: int) -> np.ndarray:
    """How deep the region is nearby: the greatest depth within `pixels` steps inside it, at least 1.

    The steps stay inside, so a thin part is not measured by a thick neighbour across a gap. They are
    taken in blocks of `stride` pixels (gaps below that do not count): a wide feather needs no finer
    answer, and costs no more.
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
