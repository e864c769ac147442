"""Figures of SAM on scenes and clips outside the training split."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from training.recipes.sam_forward import features_of, network_input, predict, track
from training.recipes.sam_loss import iou
from training.recipes.sam_prompt import Prompts, boxes, clicks
from training.recipes.sam_samples import SMALLEST, StillBatch, stills
from training.world.address import Address
from training.world.clip import a_clip, film

_BATCH = 10  # pictures


@torch.no_grad()
def click_figures(sam: SAM2Base, split: str, count: int) -> dict[str, float]:
    """Mean IoU for one click (deepest point, random point) and a tight box, on `count` scenes."""
    figures: dict[str, list[Tensor]] = {"click deepest": [], "click random": [], "box": []}
    for first in range(0, count, _BATCH):
        sample = stills(split, "sam", first, min(_BATCH, count - first))
        rng = Address(split, "sam clicks", first).rng()
        figures["click deepest"].append(_overlaps(sam, sample, clicks(sample.masks), several=True))
        figures["click random"].append(_overlaps(sam, sample, clicks(sample.masks, rng), several=True))
        figures["box"].append(_overlaps(sam, sample, boxes(sample.masks), several=False))
    return {name: float(torch.cat(rows).mean()) for name, rows in figures.items()}


@torch.no_grad()
def track_figures(sam: SAM2Base, split: str, count: int) -> dict[str, float]:
    """Mean J after one click on frame 0: all things of 8-frame clips; heroes of 24-frame stories."""
    drift = [
        j for index in range(count) for j in _track_ious(sam, Address(split, "sam drift", index), "drift", 8)
    ]
    plots = ["hide" if index % 2 else "leave" for index in range(count)]
    story = [
        j
        for index in range(count)
        for j in _track_ious(sam, Address(split, "sam story", index), plots[index], 24)
    ]
    return {"track 8": float(np.mean(drift)), "track 24": float(np.mean(story))}


def present_masks(logits: Tensor, presence: Tensor, size: tuple[int, int]) -> Tensor:
    """Bool masks of a size; empty where the network finds the thing absent."""
    whole = F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return ((whole > 0) & (presence > 0)[..., None]).cpu()


def _overlaps(sam: SAM2Base, sample: StillBatch, prompts: Prompts, *, several: bool) -> Tensor:
    size = sample.pixels.shape[1:3]
    features = features_of(sam, network_input(sample.pixels, sam.image_size)).only(
        torch.from_numpy(sample.which)
    )
    prediction = predict(sam, features, prompts.inputs(sam.image_size / size[0]), several=several)
    return iou(
        present_masks(prediction.best(), prediction.presence, size), torch.from_numpy(np.stack(sample.masks))
    )


def _track_ious(sam: SAM2Base, address: Address, plot: str, frames: int) -> list[float]:
    """J over frames after the first, for every thing of a drift, for the hero of a story."""
    sample = film(a_clip(address, frames=frames, plot=plot))
    chosen = np.flatnonzero(sample.masks[0].sum((1, 2)) > SMALLEST)
    chosen = chosen if plot == "drift" else chosen[chosen == 0]
    if chosen.size == 0:
        return []
    size = sample.pixels.shape[1:3]
    masks = sample.masks[:, chosen]
    points = clicks(list(masks[0])).inputs(sam.image_size / size[0])
    # Each thing is tracked on its own copy of the frames: clip after clip, as `track` reads them.
    copies = torch.arange(frames).repeat(len(chosen))
    features = features_of(sam, network_input(sample.pixels, sam.image_size)).only(copies)
    predictions = track(sam, features, frames, points=points)
    per_frame = [
        iou(present_masks(prediction.best(), prediction.presence, size), torch.from_numpy(masks[frame]))
        for frame, prediction in enumerate(predictions)
    ]
    return torch.stack(per_frame)[1:].mean(0).tolist()
