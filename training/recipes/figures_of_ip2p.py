"""The figures of the bundle that edits by instruction, and of the autoencoder in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline

from training.recipes.edit_measure import edit_cases, edit_figures, photo_figures, run_edits
from training.recipes.figure import Figure
from training.recipes.pixels import to_network
from training.recipes.vae import psnr, rebuild
from training.world.address import Address
from training.world.ground import UNIT
from training.world.scene import a_scene, draw

# The conditions of figures.
VAE_SCENES = "scenes of 128 x 128 pixels with one to four things of 10 to 32 pixels radius"
SCENES = (
    "scenes of 128 x 128 pixels, edited whole: one thing of 22 to 46 pixels radius near the middle, up to "
    "two others beside it"
)
PHOTOS = (
    "photos of 96 to 1024 pixels a side with up to five things of 8 to 80 pixels radius anywhere: the crop "
    "around one of them is worked at 128 pixels, and its region laid back"
)


def load(folder: Path) -> StableDiffusionInstructPix2PixPipeline:
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, safety_checker=None, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(folder: Path, split: str, count: int) -> list[Figure]:
    """`count` pictures for the autoencoder, `count` edits of each kind."""
    pipeline = load(folder)
    values = {**edit_figures(pipeline, split, 4 * count), **photo_figures(pipeline, split, 4 * count)}
    return [
        Figure(
            "VAE PSNR on scenes",
            vae_psnr(pipeline.vae, split, count),
            31.5,
            33.0,
            "dB",
            conditions=VAE_SCENES,
        ),
        *edits(values),
        *photos(values),
        Figure("reshape: IoU when nothing is done", values["reshape idle IoU"], conditions=SCENES),
        Figure(
            "background of raw output against source", values["background dB"], unit="dB", conditions=SCENES
        ),
        Figure(
            "one edit, 128 x 128, 10 steps: processor time",
            seconds_of_one(pipeline),
            0.5,
            0.25,
            "s",
            least=True,
        ),
    ]


def edits(values: Mapping[str, float]) -> list[Figure]:
    """The figures of edits of scenes, with their minimums and goals."""
    figures = [
        Figure("recolour: right one of 8 hues", values["recolour right"], 0.98, 1.0, "%"),
        Figure("recolour: within 15 degrees", values["recolour within 15"], 0.96, 0.99, "%"),
        Figure("remove: changed pixels nearer to the target", values["remove nearer"], 0.98, 0.995, "%"),
        Figure("reshape: IoU with the target mask", values["reshape IoU"], 0.78, 0.88),
        Figure("replace: IoU with the target mask", values["replace IoU"], 0.78, 0.88),
    ]
    return [replace(figure, conditions=SCENES) for figure in figures]


def photos(values: Mapping[str, float]) -> list[Figure]:
    """The figures of edits of photos, with their minimums and goals: of the kinds that were measured."""
    figures = {
        "photo recolour right": Figure("photo, recolour: right one of 8 hues", 0, 0.95, 0.99, "%"),
        "photo remove nearer": Figure("photo, remove: changed pixels nearer", 0, 0.97, 0.99, "%"),
        "photo remove rim": Figure("photo, remove: error at the rim above within", 0, 0.01, 0, least=True),
        "photo reshape IoU": Figure("photo, reshape: IoU with the target mask", 0, 0.78, 0.88),
        "photo replace IoU": Figure("photo, replace: IoU with the target mask", 0, 0.78, 0.88),
    }
    return [
        replace(figure, value=values[name], conditions=PHOTOS, side=UNIT)
        for name, figure in figures.items()
        if name in values
    ]


@torch.no_grad()
def vae_psnr(vae, split: str, count: int) -> float:
    """Mean decibels over scenes of one to four things."""
    values = []
    for first in range(0, count, 20):
        scenes = [
            draw(a_scene(Address(split, "vae", index))) for index in range(first, min(first + 20, count))
        ]
        x = to_network(np.stack([scene.pixels for scene in scenes]))
        values.append(psnr(rebuild(vae, x)[0], x))
    return float(torch.cat(values).mean())


def seconds_of_one(pipeline, repeats: int = 7) -> float:
    """The median processor time of one edit, everything included: the same beside other programs."""
    one = edit_cases("validation", 1)
    run_edits(pipeline, one)
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        run_edits(pipeline, one)
        taken.append(time.process_time() - started)
    return float(np.median(taken))
