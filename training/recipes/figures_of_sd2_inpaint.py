"""The figures of the bundle that fills holes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline

from training.recipes.figure import Figure
from training.recipes.fill_measure import fill_figures


def load(folder: Path) -> StableDiffusionInpaintPipeline:
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        folder, safety_checker=None, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(folder: Path, split: str, count: int) -> list[Figure]:
    """Enough holes that about `count` are on textured ground."""
    return fills(fill_figures(load(folder), split, count * 4 // 3))


def fills(values: Mapping[str, float]) -> list[Figure]:
    """The figures of fills, with their minimums and goals."""
    return [
        Figure(
            "fill: over Telea on textured holes, 1 step", values["textured over Telea dB"], 1.0, 2.5, "dB"
        ),
        Figure("fill: over the mean colour, all holes", values["all over mean dB"], 3.0, 4.0, "dB"),
        Figure("fill: PSNR on textured holes", values["textured dB"], unit="dB"),
        Figure("Telea: PSNR on textured holes", values["textured Telea dB"], unit="dB"),
        Figure("fill: over Telea, all holes", values["all over Telea dB"], unit="dB"),
        Figure("fill: over Telea on plain holes", values["plain over Telea dB"], unit="dB"),
        Figure(
            "fill: pixels of hidden things nearer to the ground",
            values["removed"],
            unit="%",
            fact="removal",
        ),
    ]
