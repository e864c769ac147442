"""Batches of stills and clips for SAM, each a function of the step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.world.address import Address
from training.world.clip import PLOTS, a_clip, film
from training.world.scene import a_scene, draw

SMALLEST = 40  # visible pixels, at 128 x 128, below which a thing is left out
SIDE = 128  # masks are compared at this size


@dataclass(frozen=True)
class StillBatch:
    """Pictures of equal size, masks bool of the things in them, and which picture each thing is in."""

    pixels: np.ndarray
    masks: list[np.ndarray]
    which: np.ndarray


@dataclass(frozen=True)
class ClipBatch:
    """Pixels (clips, frames, h, w, 3) and the mask of one thing through each, bool (clips, frames, h, w)."""

    pixels: np.ndarray
    masks: np.ndarray


def stills(split: str, stream: str, first: int, count: int, *, large: bool = False) -> StillBatch:
    """Scenes with at least two things, so that answering "everything" is always wrong.

    Large ones are 256 pixels wide and hold more things: large pictures that are scaled to the
    network's size.
    """
    size = {"height": 256, "width": 256, "radii": (14.0, 60.0), "most": 6} if large else {}
    pixels, masks, which = [], [], []
    for place in range(count):
        picture = draw(a_scene(Address(split, stream, first + place), fewest=2, **size))
        pixels.append(picture.pixels)
        for mask in picture.masks > 0.5:
            if mask.sum() > SMALLEST * mask.size / SIDE**2:
                masks.append(mask)
                which.append(place)
    return StillBatch(np.stack(pixels), masks, np.array(which))


def clips(step: int, count: int, frames: int) -> ClipBatch:
    """Windows of clips of all plots, forwards or backwards, each with one thing that is visible in the first
    frame."""
    found = [_window(Address("train", "sam clip", step * count + place), frames) for place in range(count)]
    return ClipBatch(np.stack([pixels for pixels, _ in found]), np.stack([masks for _, masks in found]))


def coverage(masks: list[np.ndarray] | np.ndarray) -> Tensor:
    """Coverage (n, 128, 128) in [0, 1] of bool masks of any equal size."""
    whole = torch.from_numpy(np.stack(masks)).float()
    return whole if whole.shape[-1] == SIDE else F.adaptive_avg_pool2d(whole, SIDE)


def mask_prompts(masks: np.ndarray, side: int) -> Tensor:
    """Mask prompts (n, 1, side, side) of zeros and ones, from bool (n, h, w)."""
    resized = F.interpolate(
        torch.from_numpy(masks)[:, None].float(), size=(side, side), mode="bilinear", antialias=True
    )
    return (resized >= 0.5).float()


def _window(address: Address, frames: int) -> tuple[np.ndarray, np.ndarray]:
    rng = address.rng("window")
    plot = PLOTS[rng.choice(3, p=(0.4, 0.3, 0.3))]
    drift = plot == "drift"
    clip = a_clip(address, frames=max(8, frames) if drift else 24, plot=plot)
    # Stories take longer strides, so that a few frames include leaving and returning.
    stride = 1 if drift else int(rng.integers(1, (clip.frames - 1) // (frames - 1) + 1))
    begins = int(rng.integers(0, clip.frames - (frames - 1) * stride))
    order = begins + stride * np.arange(frames)
    seen = film(clip, order if rng.random() < 0.5 else order[::-1])
    visible = np.flatnonzero(seen.masks[0].sum((1, 2)) > SMALLEST)
    if visible.size == 0:
        return _window(Address(address.split, address.stream + "'", address.index), frames)
    hero = 0 in visible and not drift and rng.random() < 0.7
    chosen = 0 if hero else int(rng.choice(visible))
    return seen.pixels, seen.masks[:, chosen]
