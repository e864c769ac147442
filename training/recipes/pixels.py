"""Between pictures (uint8, height, width, 3) and what networks read (float32, 3, height, width)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_network(pictures: np.ndarray) -> Tensor:
    """Pictures (n, height, width, 3) as float32 (n, 3, height, width) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(x: Tensor) -> np.ndarray:
    """Float (n, 3, height, width) in [-1, 1] as uint8 (n, height, width, 3)."""
    scaled = (x.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
