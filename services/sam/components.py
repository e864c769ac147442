"""The parts of a map that hang together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Part:
    """One part, in pixels of the map: its box (left, top, right, bottom; half-open), where it is deepest."""

    box: tuple[int, int, int, int]
    x: float
    y: float


def parts_of(chances: Tensor, level: float, *, most: int) -> list[Part]:
    """Where a map (height, width) in [0, 1] is above a level, part by part, those with most chance first.

    Pixels that touch at a corner hang together. Only the first `most` parts are given.
    """
    numbers = numbered(chances > level)
    depth = depth_of(numbers > 0)
    weights = torch.zeros(numbers.numel() + 1).index_add_(0, numbers.flatten(), chances.flatten())
    weights[0] = 0
    ranked = weights.argsort(descending=True)[: min(most, int((weights > 0).sum()))]
    return [_part(numbers == number, depth + chances / 2) for number in ranked]


def numbered(inside: Tensor) -> Tensor:
    """A number above 0 for each part, the same on all its pixels; 0 outside."""
    count = inside.numel()
    numbers = torch.arange(1, count + 1).view(inside.shape) * inside
    while True:
        # Everyone takes the highest number next to it, and then the one that the pixel of that number has.
        spread = _highest(numbers.double()).long() * inside
        spread = torch.cat([spread.new_zeros(1), spread.flatten()])[spread]
        if torch.equal(spread, numbers):
            return numbers
        numbers = spread


def depth_of(inside: Tensor) -> Tensor:
    """How many steps it is to the outside, 0 there; beyond the map is outside too."""
    depth, left = torch.zeros(inside.shape), inside
    while bool(left.any()):
        depth += left
        left = left & (_highest(functional.pad((~left).double(), (1, 1, 1, 1), value=1.0)) == 0)[1:-1, 1:-1]
    return depth


def _part(inside: Tensor, depth: Tensor) -> Part:
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    row, column = divmod(int(torch.where(inside, depth, -1).argmax()), inside.shape[1])
    return Part(box, column + 0.5, row + 0.5)


def _highest(values: Tensor) -> Tensor:
    """The highest among each pixel and its eight neighbours."""
    return functional.max_pool2d(values[None, None], 3, stride=1, padding=1)[0, 0]
