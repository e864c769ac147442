"""What an adapter adds to the answer of a layer. The layer's own weights stay as they are.

A layer is a linear one or a convolution; what it sees and answers is shaped as the layer has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Delta(Protocol):
    """Something to be added."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""

    def __call__(self, layer: nn.Module, seen: Tensor) -> Tensor:
        """What to add to the layer's answer to what it has seen; may broadcast."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """A detour of the layer through few channels: down to `rank` of them the way the layer goes, and up."""

    down: Tensor  # (rank, in), for a convolution (rank, in, height, width)
    up: Tensor  # (out, rank), for a convolution (out, rank, 1, 1)
    scale: float

    @property
    def nbytes(self) -> int:
        return self.down.nbytes + self.up.nbytes

    def __call__(self, layer: nn.Module, seen: Tensor) -> Tensor:
        inner = _answer(layer, seen, self.down, None) * self.scale
        return F.conv2d(inner, self.up) if self.up.ndim == 4 else F.linear(inner, self.up)


@dataclass(frozen=True, eq=False)
class Shift:
    """Other weights for the layer, written as their difference to its own."""

    weight: Tensor | None
    bias: Tensor | None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.weight, self.bias) if part is not None)

    def __call__(self, layer: nn.Module, seen: Tensor) -> Tensor:
        if self.weight is not None:
            return _answer(layer, seen, self.weight, self.bias)
        assert self.bias is not None, "a shift moves something"
        return self.bias[:, None, None] if isinstance(layer, nn.Conv2d) else self.bias


def takes_deltas(module: nn.Module) -> bool:
    """True for the layers whose answer is a sum that can be added to."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return isinstance(module, nn.Linear)


def _answer(layer: nn.Module, seen: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What the layer would answer if these were its weights."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(seen, weight, bias, layer.stride, layer.padding, layer.dilation)
    return F.linear(seen, weight, bias)
