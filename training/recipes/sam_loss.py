"""What a good answer of SAM is: the right pixels, an honest estimate of IoU, presence where it is seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.recipes.sam_sight import Answer

_SPREAD = 0.4  # of the loss on masks goes to all hypotheses, the rest to the best: none may go to waste
_SEEN = 3.0  # pixels a thing must show to count as present


def loss_of(answer: Answer, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean IoU over things that are seen of the masks believed in most.

    `truth` is coverage in [0, 1], (n, side, side); the logits are compared at its size.
    """
    logits = F.interpolate(answer.logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False)
    truth = truth.to(logits.device)
    target = truth[:, None].expand_as(logits)
    seen = (truth.flatten(1).sum(1) > _SEEN).float()
    each = 5 * F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    each = each + _dice(logits.sigmoid(), target)
    mask = (1 - _SPREAD) * each.min(1).values + _SPREAD * each.mean(1)
    overlap = iou(logits.detach() > 0, target > 0.5)
    quality = (answer.quality.float() - overlap).abs().mean(1)
    presence = F.binary_cross_entropy_with_logits(answer.presence[:, 0].float(), seen)
    count = seen.sum().clamp(min=1)
    believed = overlap.gather(1, answer.quality.argmax(1, keepdim=True))[:, 0]
    total = ((mask + 0.5 * quality) * seen).sum() / count + presence
    return total, (believed * seen).sum() / count


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of bool masks (..., height, width); two empty masks agree (1)."""
    both = (one & other).sum((-2, -1)).float()
    either = (one | other).sum((-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def _dice(chance: Tensor, target: Tensor) -> Tensor:
    shared, whole = (chance * target).sum((2, 3)), chance.sum((2, 3)) + target.sum((2, 3))
    return 1 - (2 * shared + 1) / (whole + 1)
