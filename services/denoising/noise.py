"""The noise of a request, in the order in which a pipeline draws it.

It is drawn on the host, so that a seed means the same picture on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_noise(seed: int, shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[Tensor, ...], torch.Generator]:
    """The first draws, float32 of these shapes, and the generator that goes on from there."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes), generator
