"""Deltas: what an adapter adds to the output of a layer, whose own weights stay as they are.

A layer is linear or a convolution; inputs and outputs are shaped as the layer has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Delta(Protocol):
    """An addition to a layer's output."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""

    def __call__(self, layer: nn.Module, inputs: Tensor) -> Tensor:
        """The addition to the layer's output for these inputs; may broadcast."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """Two thin matrices beside the layer: down to `rank` channels as the layer does, and up again."""

    down: Tensor  # (rank, in), for a convolution (rank, in, height, width)
    up: Tensor  # (out, rank), for a convolution (out, rank, 1, 1)
    scale: float

    @property
    def nbytes(self) -> int:
        return self.down.nbytes + self.up.nbytes

    def __call__(self, layer: nn.Module, inputs: Tensor) -> Tensor:
        inner = _output(layer, inputs, self.down, None) * self.scale
        return F.conv2d(inner, self.up) if self.up.ndim == 4 else F.linear(inner, self.up)


@dataclass(frozen=True, eq=False)
class Shift:
    """Other weights for the layer, written as their difference to its own."""

    weight: Tensor | None
    bias: Tensor | None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.weight, self.bias) if part is not None)

    def __call__(self, layer: nn.Module, inputs: Tensor) -> Tensor:
        if self.weight is not None:
            return _output(layer, inputs, self.weight, self.bias)
        assert self.bias is not None, "a shift moves something"
        return self.bias[:, None, None] if isinstance(layer, nn.Conv2d) else self.bias


def takes_deltas(module: nn.Module) -> bool:
    """True for the layers whose output is a sum that a delta can be added to."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return isinstance(module, nn.Linear)


def _output(layer: nn.Module, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer's output if these were its weights."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(inputs, weight, bias, layer.stride, layer.padding, layer.dilation)
    return F.linear(inputs, weight, bias)
