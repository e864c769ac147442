"""Figures of filling: PSNR inside holes, compared with OpenCV's Telea and with the mean colour.

Measured on holes in the ground only, where one answer is right. Grounds are textured or plain according to
the world that drew them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from training.recipes.figure import Row, tally
from training.world.address import Address
from training.world.edit import GONE, some_versions
from training.world.ground import texture_of
from training.world.hole import a_hole, around

STEPS, GUIDANCE, WORDS = 1, 1.0, "background"
_BATCH = 12
_SEEN = 16  # levels by which a thing differs from the ground behind it


@dataclass(frozen=True)
class Gap:
    """A picture with a hole in it, the true picture, and whether its ground is textured."""

    pixels: np.ndarray
    hole: np.ndarray
    truth: np.ndarray
    textured: bool


def gaps(split: str, count: int) -> list[Gap]:
    """Half of the holes hide a thing (in its form), half are boxes, ellipses and strokes."""
    found = []
    for index in range(count):
        versions = some_versions(Address(split, "gaps", index))
        pictures = versions.pictures()
        hidden, truth = pictures[0], pictures[GONE]
        if index % 2:
            hole = around(hidden.masks[-1])
        else:
            hidden, hole = truth, a_hole(versions.address.rng("hole"))
        # Other things are not ground: their pixels are taken out of the hole.
        hole = hole & ~(truth.masks > 0).any(0) if len(truth.masks) else hole
        textured = texture_of(versions.address) != "plain"
        found.append(Gap(hidden.pixels, hole, truth.pixels, textured))
    return [gap for gap in found if gap.hole.sum() > 100]


@torch.no_grad()
def run_fills(pipeline, chosen: list[Gap], **settings) -> list[np.ndarray]:
    """The raw output of a pipeline: float32 (height, width, 3) in [0, 255], not composed with the picture."""
    settings = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "strength": 1.0, **settings}
    results: list[np.ndarray] = []
    for first in range(0, len(chosen), _BATCH):
        batch = chosen[first : first + _BATCH]
        result = pipeline(
            [WORDS] * len(batch),
            image=[Image.fromarray(gap.pixels) for gap in batch],
            mask_image=[Image.fromarray(gap.hole.astype(np.uint8) * 255) for gap in batch],
            height=batch[0].pixels.shape[0],
            width=batch[0].pixels.shape[1],
            generator=torch.Generator().manual_seed(first),
            output_type="np",
            **settings,
        )
        results += [image * 255.0 for image in result.images]
    return results


def fill_figures(pipeline, split: str, count: int, **settings) -> dict[str, float]:
    """Mean decibels inside the holes, of the model and of the methods it is compared with."""
    chosen = gaps(split, count)
    result = run_fills(pipeline, chosen, **settings)
    return tally([figures_of(gap, one) for gap, one in zip(chosen, result, strict=True)])


def figures_of(gap: Gap, result: np.ndarray) -> Row:
    """The measurements of one filling, by name; `result` is (height, width, 3) in [0, 255]."""
    telea = cv2.inpaint(gap.pixels, gap.hole.astype(np.uint8), 5, cv2.INPAINT_TELEA)
    mean = np.broadcast_to(gap.pixels[~gap.hole].mean(0), gap.pixels.shape)
    ours, classical, plain = (_psnr(answer, gap.truth, gap.hole) for answer in (result, telea, mean))
    figures = {"all dB": ours, "all over Telea dB": ours - classical, "all over mean dB": ours - plain}
    ground = "textured" if gap.textured else "plain"
    figures |= {f"{ground} over Telea dB": ours - classical}
    thing = gap.hole & (np.abs(gap.pixels.astype(int) - gap.truth).max(axis=2) > _SEEN)
    if thing.any():
        nearer = _distance(result, gap.truth) < _distance(result, gap.pixels)
        figures["removed"] = float(nearer[thing].mean())
    if gap.textured:
        figures |= {"textured dB": ours, "textured Telea dB": classical}
    return figures


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distance of colours at every pixel."""
    return np.abs(one.astype(np.float32) - other).sum(axis=2)


def _psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    error = (one[where].astype(np.float32) - other[where].astype(np.float32)) / 255
    return float(-10 * np.log10(np.square(error).mean() + 1e-9))
