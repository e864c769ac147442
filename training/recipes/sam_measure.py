"""Figures of SAM on scenes and clips it has not learnt from."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from training.recipes.sam_lesson import SMALLEST, Stills, stills
from training.recipes.sam_loss import iou
from training.recipes.sam_prompt import Prompts, boxes, clicks
from training.recipes.sam_sight import answer, as_input, follow, see
from training.world.address import Address
from training.world.clip import a_clip, film

_AT_ONCE = 10  # pictures


@torch.no_grad()
def click_figures(sam: SAM2Base, split: str, count: int) -> dict[str, float]:
    """Mean IoU for one click (deepest point, random point) and a tight box, on `count` scenes."""
    figures: dict[str, list[Tensor]] = {"click deepest": [], "click random": [], "box": []}
    for first in range(0, count, _AT_ONCE):
        shown = stills(split, "sam", first, min(_AT_ONCE, count - first))
        dice = Address(split, "sam clicks", first).dice()
        figures["click deepest"].append(_overlaps(sam, shown, clicks(shown.masks), several=True))
        figures["click random"].append(_overlaps(sam, shown, clicks(shown.masks, dice), several=True))
        figures["box"].append(_overlaps(sam, shown, boxes(shown.masks), several=False))
    return {name: float(torch.cat(rows).mean()) for name, rows in figures.items()}


@torch.no_grad()
def track_figures(sam: SAM2Base, split: str, count: int) -> dict[str, float]:
    """Mean J after one click on frame 0: all things of 8-frame clips; heroes of 24-frame stories."""
    drift = [
        j for index in range(count) for j in _tracked(sam, Address(split, "sam drift", index), "drift", 8)
    ]
    plots = ["hide" if index % 2 else "leave" for index in range(count)]
    told = [
        j
        for index in range(count)
        for j in _tracked(sam, Address(split, "sam story", index), plots[index], 24)
    ]
    return {"track 8": float(np.mean(drift)), "track 24": float(np.mean(told))}


def drawn(logits: Tensor, presence: Tensor, size: tuple[int, int]) -> Tensor:
    """Bool masks of a size; empty where the network says there is nothing."""
    whole = F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return ((whole > 0) & (presence > 0)[..., None]).cpu()


def _overlaps(sam: SAM2Base, shown: Stills, prompts: Prompts, *, several: bool) -> Tensor:
    size = shown.pixels.shape[1:3]
    seen = see(sam, as_input(shown.pixels, sam.image_size)).only(torch.from_numpy(shown.which))
    said = answer(sam, seen, prompts.inputs(sam.image_size / size[0]), several=several)
    return iou(drawn(said.best(), said.presence, size), torch.from_numpy(np.stack(shown.masks)))


def _tracked(sam: SAM2Base, address: Address, plot: str, frames: int) -> list[float]:
    """J over frames after the first, for every thing of a drift, for the hero of a story."""
    shown = film(a_clip(address, frames=frames, plot=plot))
    asked = np.flatnonzero(shown.masks[0].sum((1, 2)) > SMALLEST)
    asked = asked if plot == "drift" else asked[asked == 0]
    if asked.size == 0:
        return []
    size = shown.pixels.shape[1:3]
    masks = shown.masks[:, asked]
    points = clicks(list(masks[0])).inputs(sam.image_size / size[0])
    # Each thing is followed on its own copy of the frames: clip after clip, as `follow` reads them.
    copies = torch.arange(frames).repeat(len(asked))
    seen = see(sam, as_input(shown.pixels, sam.image_size)).only(copies)
    answers = follow(sam, seen, frames, points=points)
    per_frame = [
        iou(drawn(said.best(), said.presence, size), torch.from_numpy(masks[frame]))
        for frame, said in enumerate(answers)
    ]
    return torch.stack(per_frame)[1:].mean(0).tolist()
