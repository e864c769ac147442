"""Sight before words: which shape, in which colour, lies at every patch of a picture.

From nothing, a text head learns colours in minutes and then answers every shape with everything in front:
what a phrase says of a shape reaches the image tower too faintly. Asked outright, patch by patch, the tower
learns to tell shapes in minutes too (the course prints the loss as `sight`). The two heads that ask are a
scaffold, taken away before the network is kept.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.world.hue import COLOURS
from training.world.shape import SHAPES
from training.world.thing import Thing

_GROUND = 0.3  # what a patch of bare ground counts for, beside one of a thing


def named(things: tuple[Thing, ...], visible: np.ndarray) -> np.ndarray:
    """What lies at each pixel, uint8 (h, w): 0 for nothing, else one number for each shape and colour.

    `visible` is bool (things, h, w).
    """
    names = np.zeros(visible.shape[1:], np.uint8)
    for thing, mask in zip(things, visible, strict=True):
        names[mask] = 1 + SHAPES.index(thing.shape) * len(COLOURS) + COLOURS.index(thing.colour)
    return names


class Sight(nn.Module):
    """Two questions to every patch of an image tower of so many features: its shape, and its colour."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shape, self.colour = nn.Linear(width, 1 + len(SHAPES)), nn.Linear(width, 1 + len(COLOURS))

    def loss(self, features: Tensor, names: Tensor) -> Tensor:
        """`features` (n, patches, width) by rows, without that of the whole; `names` (n, h, w)."""
        side = round(features.shape[1] ** 0.5)
        things = (names.long() - 1).clamp(min=0)
        shapes = torch.where(names > 0, 1 + things // len(COLOURS), 0)
        colours = torch.where(names > 0, 1 + things % len(COLOURS), 0)
        features = features.float()
        return _loss(self.shape(features), shapes, side) + _loss(self.colour(features), colours, side)


def _loss(logits: Tensor, kinds: Tensor, side: int) -> Tensor:
    """Cross-entropy with how much of each patch is of which kind."""
    shares = F.one_hot(kinds, logits.shape[-1]).movedim(-1, 1).float()
    shares = F.adaptive_avg_pool2d(shares, side).flatten(2).mT
    weights = torch.full_like(shares, 1.0)
    weights[..., 0] = _GROUND
    return -(weights * shares * logits.log_softmax(-1)).sum(-1).mean()
