"""Runs a network on a large picture in overlapping windows, so that its memory does not grow with the
picture.

Where windows overlap, their results are averaged with weights that fall towards a window's inner edges,
where the network sees least of the surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """Pictures of more than `above` pixels are worked in square windows. All in pixels."""

    above: int = 1024 * 1024
    side: int = 768
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.side:
            raise ValueError(f"overlap must be in (0, side), not {self.overlap} of {self.side}")


def windows(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Half-open windows that cover a length, all of the same size, sharing at least `overlap`.

    They are spread evenly, so the last one is not a sliver that overlaps its neighbour almost entirely.
    """
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    starts = [index * (length - side) // (count - 1) for index in range(count)]
    return [(start, start + side) for start in starts]


def by_tiles(
    values: Tensor, work: Callable[[Tensor], Tensor], *, cells: tuple[int, int], side: int, overlap: int
) -> Tensor:
    """What `work` makes of `values` (1, channels, height, width), window by window; float32.

    Windows are laid on a grid of cells, one latent each: `cells` is the side of a cell in what `work` is
    given and in what it answers. `side` and `overlap` are in cells.
    """
    given, made = cells
    height, width = values.shape[-2] // given, values.shape[-1] // given
    weight = torch.zeros(height * made, width * made, device=values.device)
    total: Tensor | None = None
    for top, bottom in windows(height, side, overlap):
        for left, right in windows(width, side, overlap):
            part = work(values[..., top * given : bottom * given, left * given : right * given]).float()
            if total is None:
                total = torch.zeros(1, part.shape[1], *weight.shape, device=values.device)
            down = _trust(part.shape[-2], overlap * made, top > 0, bottom < height)
            across = _trust(part.shape[-1], overlap * made, left > 0, right < width)
            trust = torch.outer(down, across).to(values.device)
            there = (..., slice(top * made, bottom * made), slice(left * made, right * made))
            total[there] += part * trust
            weight[there] += trust
    assert total is not None  # there is at least one window
    return total / weight


def _trust(length: int, reach: int, rises: bool, falls: bool) -> Tensor:
    """Weights along a window's side; they rise and fall over `reach` where it has a neighbour."""
    trust = torch.ones(length)
    ramp = (torch.arange(reach) + 0.5) / reach
    if rises:
        trust[:reach] = ramp
    if falls:
        trust[-reach:] = torch.minimum(trust[-reach:], ramp.flip(0))
    return trust
