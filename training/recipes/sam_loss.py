"""The loss of SAM: pixels of the mask, estimate of IoU, presence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.recipes.sam_forward import Prediction

_SHARED = 0.4  # of the mask loss is shared by all hypotheses, the rest goes to the best
_VISIBLE = 3.0  # visible pixels from which a thing counts as present


def loss_of(prediction: Prediction, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean IoU of the masks with the highest estimate, over visible things.

    `truth` is coverage in [0, 1], (n, side, side); the logits are compared at its size.
    """
    logits = F.interpolate(
        prediction.logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False
    )
    truth = truth.to(logits.device)
    target = truth[:, None].expand_as(logits)
    visible = (truth.flatten(1).sum(1) > _VISIBLE).float()
    each = 5 * F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    each = each + _dice(logits.sigmoid(), target)
    mask = (1 - _SHARED) * each.min(1).values + _SHARED * each.mean(1)
    overlap = iou(logits.detach() > 0, target > 0.5)
    quality = (prediction.quality.float() - overlap).abs().mean(1)
    presence = F.binary_cross_entropy_with_logits(prediction.presence[:, 0].float(), visible)
    count = visible.sum().clamp(min=1)
    chosen = overlap.gather(1, prediction.quality.argmax(1, keepdim=True))[:, 0]
    total = ((mask + 0.5 * quality) * visible).sum() / count + presence
    return total, (chosen * visible).sum() / count


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of bool masks (..., height, width); two empty masks agree (1)."""
    both = (one & other).sum((-2, -1)).float()
    either = (one | other).sum((-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def _dice(chance: Tensor, target: Tensor) -> Tensor:
    shared, whole = (chance * target).sum((2, 3)), chance.sum((2, 3)) + target.sum((2, 3))
    return 1 - (2 * shared + 1) / (whole + 1)
