"""Conversions between masks of a picture's size and the small maps of networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# sam2 turns a mask of ones and zeros into logits by this scale and offset.
_SCALE, _OFFSET = 20.0, -10.0


def masks_from_maps(maps: Tensor, height: int, width: int, *, level: float = 0.0) -> Tensor:
    """Masks, uint8 of 0 and 1 on the host, at a picture's size: 1 where maps (count, h, w) exceed a level.

    Made one at a time, because these are the largest tensors here.
    """
    masks = torch.empty(len(maps), height, width, dtype=torch.uint8)
    for place, one in enumerate(maps.float()):
        full = functional.interpolate(
            one[None, None], size=(height, width), mode="bilinear", align_corners=False
        )
        masks[place] = full[0, 0] > level
    return masks


def stability(maps: Tensor, lower: float = -1.0, upper: float = 1.0) -> Tensor:
    """How little masks depend on the level they are cut off at, float32 (count) on the host.

    Of each map (count, h, w), the area above `upper` as a share of that above `lower`; 0 where there is none.
    """
    above = [(maps > level).sum(dim=(-2, -1)).float() for level in (upper, lower)]
    return (above[0] / above[1].clamp(min=1)).cpu()


def to_square(mask: Tensor, size: int) -> Tensor:
    """A mask of 0 and 1 (height, width) in the form of sam2's tracker: float32 (1, 1, size, size) of 0 and 1,
    1 where at least half of a pixel is inside. Of a very small mask the pixels with the largest part
    remain."""
    resized = functional.interpolate(
        mask[None, None].float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return (resized >= resized.max().clamp(max=0.5)).float()


def as_logits(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask of 0 and 1 (height, width) in the form of sam2's prompt encoder, (1, 1, *size)."""
    return functional.interpolate(
        mask[None, None].float() * _SCALE + _OFFSET,
        size=size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
