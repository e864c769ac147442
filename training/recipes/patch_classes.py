"""Classes of shape and colour for every patch, by which an image tower is trained before there are phrases.

From random weights, a text head learns colours in minutes and then answers every shape with everything in
front: the gradient of a phrase is too weak at the image tower. Trained on classes of patches, the tower
learns shapes in minutes, too (the training prints the loss as `patches`). The two heads are used in training
only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.world.hue import COLOURS
from training.world.shape import SHAPES
from training.world.thing import Thing

_GROUND = 0.3  # the weight of a patch of bare ground; one of a thing has 1


def class_map(things: tuple[Thing, ...], visible: np.ndarray) -> np.ndarray:
    """The class of each pixel, uint8 (h, w): 0 for ground, else one number for each shape and colour.

    `visible` is bool (things, h, w).
    """
    names = np.zeros(visible.shape[1:], np.uint8)
    for thing, mask in zip(things, visible, strict=True):
        names[mask] = 1 + SHAPES.index(thing.shape) * len(COLOURS) + COLOURS.index(thing.colour)
    return names


class PatchClassifier(nn.Module):
    """Two heads on the patches of an image tower of `width` features: shape and colour."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shape, self.colour = nn.Linear(width, 1 + len(SHAPES)), nn.Linear(width, 1 + len(COLOURS))

    def loss(self, features: Tensor, names: Tensor) -> Tensor:
        """The loss of `features` (n, patches, width), without the class token, for `names` (n, h, w)."""
        side = round(features.shape[1] ** 0.5)
        things = (names.long() - 1).clamp(min=0)
        shapes = torch.where(names > 0, 1 + things // len(COLOURS), 0)
        colours = torch.where(names > 0, 1 + things % len(COLOURS), 0)
        features = features.float()
        return _loss(self.shape(features), shapes, side) + _loss(self.colour(features), colours, side)


def _loss(logits: Tensor, kinds: Tensor, side: int) -> Tensor:
    """Cross-entropy with the share of each class in a patch."""
    shares = F.one_hot(kinds, logits.shape[-1]).movedim(-1, 1).float()
    shares = F.adaptive_avg_pool2d(shares, side).flatten(2).mT
    weights = torch.full_like(shares, 1.0)
    weights[..., 0] = _GROUND
    return -(weights * shares * logits.log_softmax(-1)).sum(-1).mean()
