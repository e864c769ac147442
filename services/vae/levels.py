"""Pictures of 8 bits to the numbers in [-1, 1] that networks use, and back.

Bytes are a quarter of what must cross to the device and between the processes. The arithmetic is that of a
caller who converts by itself, so that the result has the same bytes wherever it is done.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOST = 255.0


def to_numbers(pixels: Tensor) -> Tensor:
    """The float32 numbers in [-1, 1] of a picture of UINT8."""
    # By a tensor: divided by a plain number, a GPU multiplies by its inverse and rounds otherwise.
    return pixels.float() / torch.full((), _MOST, device=pixels.device) * 2 - 1


def to_levels(picture: Tensor) -> Tensor:
    """The nearest UINT8 of a picture in [-1, 1]; what lies beyond is clipped."""
    return (picture * 0.5 + 0.5).clamp(0, 1).mul(_MOST).round().to(torch.uint8)
