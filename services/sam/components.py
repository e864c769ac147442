"""Connected components of a map, and the depth of its pixels. Pixels that touch at a corner are connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Component:
    """One component, in pixels of the map: its box (left, top, right, bottom; half-open) and the centre of
    its deepest pixel."""

    box: tuple[int, int, int, int]
    x: float
    y: float


def components_of(chances: Tensor, level: float, *, most: int) -> list[Component]:
    """The components in which a map (height, width) in [0, 1] is above a level, by falling sum of the map.

    Only the first `most` of them.
    """
    labels = label_components(chances > level)
    depth = depth_of(labels > 0)
    sums = torch.zeros(int(labels.max()) + 1).index_add_(0, labels.flatten(), chances.flatten())
    sums[0] = 0
    ranked = sums.argsort(descending=True)[: min(most, int((sums > 0).sum()))]
    return [_component(labels == label, depth + chances / 2) for label in ranked]


def label_components(inside: Tensor) -> Tensor:
    """The number of each pixel's component, from 1; 0 outside."""
    _, labels = cv2.connectedComponents(_bytes(inside), connectivity=8, ltype=cv2.CV_32S)
    return torch.from_numpy(labels).long()


def depth_of(inside: Tensor) -> Tensor:
    """The steps to the nearest pixel outside, float32, 0 there; pixels beyond the map are outside, too."""
    padded = functional.pad(inside, (1, 1, 1, 1))
    distance = cv2.distanceTransform(_bytes(padded), cv2.DIST_C, cv2.DIST_MASK_3)
    return torch.from_numpy(distance)[1:-1, 1:-1]


def _bytes(inside: Tensor) -> Any:
    return inside.to(torch.uint8).numpy()


def _component(inside: Tensor, depth: Tensor) -> Component:
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    row, column = divmod(int(torch.where(inside, depth, -1).argmax()), inside.shape[1])
    return Component(box, column + 0.5, row + 0.5)
