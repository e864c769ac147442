"""Masks at two sizes: the small maps that networks make, and the picture's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# What sam2 makes of a mask of ones and zeros: logits that are all but certain.
_SPREAD, _CERTAIN = 20.0, -10.0


def drawn(maps: Tensor, height: int, width: int, *, level: float = 0.0) -> Tensor:
    """Where maps (count, h, w) are above a level, at a picture's size: uint8 of 0 and 1, on the host.

    One at a time, as these are the largest tensors here.
    """
    masks = torch.empty(len(maps), height, width, dtype=torch.uint8)
    for place, one in enumerate(maps.float()):
        full = functional.interpolate(
            one[None, None], size=(height, width), mode="bilinear", align_corners=False
        )
        masks[place] = full[0, 0] > level
    return masks


def squared(mask: Tensor, size: int) -> Tensor:
    """A mask of 0 and 1 (height, width) as sam2's tracker wants to be shown one: float32 (1, 1, size, size)
    of 0 and 1, a pixel of which is inside when half of it is. Of a speck its best pixels are left."""
    resized = functional.interpolate(
        mask[None, None].float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return (resized >= resized.max().clamp(max=0.5)).float()


def as_logits(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask of 0 and 1 (height, width) as sam2's prompt encoder reads one, (1, 1, *size)."""
    return functional.interpolate(
        mask[None, None].float() * _SPREAD + _CERTAIN,
        size=size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
