"""Adds a click on the thing to prompts that correct a mask by clicks beside the thing only."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from services.sam.components import depth_of, label_components
from services.sam.sam2 import Prompt

_ACROSS = 256  # cells per side of the grid on which the click is chosen


def with_positive_click(prompt: Prompt) -> Prompt:
    """The prompt, with a click on the thing if a mask shows it, but neither a click nor a box does.

    SAM 2 learnt to correct what clicks had found, so it needs a click on the thing, too. The click is put
    where the mask is deepest, away from the clicks beside the thing and outside the components they are in.
    """
    if prompt.mask is None or prompt.points is None or prompt.box is not None:
        return prompt
    if bool((prompt.points[:, 2] == 1).any()):
        return prompt
    return replace(prompt, points=torch.cat([_inner_click(prompt.mask, prompt.points), prompt.points]))


def _inner_click(mask: Tensor, beside: Tensor) -> Tensor:
    """A click (1, 3) inside a mask, in pixels."""
    height, width = mask.shape
    inside = functional.adaptive_max_pool2d(mask[None, None].float(), _ACROSS)[0, 0] > 0
    cells = beside[:, :2] / torch.tensor([width, height]) * _ACROSS
    columns, rows = cells.long().clamp(max=_ACROSS - 1).unbind(1)
    parts = label_components(inside)
    apart = inside & ~torch.isin(parts, parts[rows, columns])
    depth = depth_of(apart if bool(apart.any()) else inside)
    places = torch.stack(torch.meshgrid(*2 * [torch.arange(_ACROSS) + 0.5], indexing="xy"), dim=-1)
    away = torch.cdist(places.view(-1, 2), cells).amin(1).view(depth.shape)
    row, column = divmod(int(torch.minimum(depth, away / 2).argmax()), _ACROSS)
    return torch.tensor([[(column + 0.5) / _ACROSS * width, (row + 0.5) / _ACROSS * height, 1.0]])
