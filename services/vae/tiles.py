"""Runs a network on overlapping windows of a large picture, so that memory does not grow with the
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
    """Pictures of more than `above` pixels are processed in square windows. All in pixels."""

    above: int = 1024 * 1024
    side: int = 768
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.side:
            raise ValueError(f"overlap must be in (0, side), not {self.overlap} of {self.side}")


def windows(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Half-open windows that cover a length, all of the same size, sharing at least `overlap`.

    They are spaced evenly, so that the last one does not overlap its neighbour almost entirely.
    """
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    starts = [index * (length - side) // (count - 1) for index in range(count)]
    return [(start, start + side) for start in starts]


def in_tiles(
    values: Tensor, network: Callable[[Tensor], Tensor], tiling: Tiling, *, factor: int, shrinks: bool
) -> Tensor:
    """The result, float32, of `network` for `values` (1, channels, height, width), tiled if they are large.

    One side of the network is a picture, the other latents of `factor` x `factor` pixels; one that `shrinks`
    is given the picture.
    """
    cells = (factor, 1) if shrinks else (1, factor)
    pixels = values.shape[-2] * values.shape[-1] * (factor // cells[0]) ** 2
    if pixels <= tiling.above:
        return network(values).float()
    side, overlap = max(2, tiling.side // factor), max(1, tiling.overlap // factor)
    return by_tiles(values, network, cells=cells, side=side, overlap=overlap)


def by_tiles(
    values: Tensor, network: Callable[[Tensor], Tensor], *, cells: tuple[int, int], side: int, overlap: int
) -> Tensor:
    """The result, float32, of `network` for `values` (1, channels, height, width), window by window.

    Windows are on a grid of cells, one latent each: `cells` is the side of a cell in the network's input and
    in its output. `side` and `overlap` are in cells.
    """
    given, made = cells
    height, width = values.shape[-2] // given, values.shape[-1] // given
    weight = torch.zeros(height * made, width * made, device=values.device)
    total: Tensor | None = None
    for top, bottom in windows(height, side, overlap):
        for left, right in windows(width, side, overlap):
            part = network(values[..., top * given : bottom * given, left * given : right * given]).float()
            if total is None:
                total = torch.zeros(1, part.shape[1], *weight.shape, device=values.device)
            down = _weights(part.shape[-2], overlap * made, top > 0, bottom < height)
            across = _weights(part.shape[-1], overlap * made, left > 0, right < width)
            window = torch.outer(down, across).to(values.device)
            there = (..., slice(top * made, bottom * made), slice(left * made, right * made))
            total[there] += part * window
            weight[there] += window
    assert total is not None  # there is at least one window
    return total / weight


def _weights(length: int, overlap: int, rises: bool, falls: bool) -> Tensor:
    """Weights along a window's side; they rise and fall over `overlap` where it has a neighbour."""
    weights = torch.ones(length)
    ramp = (torch.arange(overlap) + 0.5) / overlap
    if rises:
        weights[:overlap] = ramp
    if falls:
        weights[-overlap:] = torch.minimum(weights[-overlap:], ramp.flip(0))
    return weights
