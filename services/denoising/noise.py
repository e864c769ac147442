"""The dice of a request: noise in the order in which it is drawn.

It is drawn on the host, so that a seed means the same picture on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_noise(seed: int, shape: tuple[int, ...], times: int) -> tuple[tuple[Tensor, ...], torch.Generator]:
    """The first draws of noise, float32 (1, *shape) each, and the dice that go on from there."""
    dice = torch.Generator("cpu").manual_seed(seed)
    return tuple(torch.randn((1, *shape), generator=dice, dtype=torch.float32) for _ in range(times)), dice
