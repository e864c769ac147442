"""Pictures to ask about, and the keys they are remembered by."""

from __future__ import annotations

import torch
from torch.nn import functional

from services.sam.preprocessing import key_of


def picture(height: int = 100, width: int = 150, seed: int = 0) -> torch.Tensor:
    """Blobs of colour: smooth, so that it survives JPEG, and not flat."""
    coarse = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    smooth = functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return (smooth[0].permute(1, 2, 0) * 255).to(torch.uint8)


def key(shown: torch.Tensor) -> torch.Tensor:
    return torch.tensor(list(key_of(shown)), dtype=torch.uint8)
