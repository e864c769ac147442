"""Instances: masks that were found and stored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.mask import area, bounding_box
from orchestrator.aio import gather_or_cancel
from orchestrator.stages.factory import Stages


@dataclass(frozen=True)
class Instance:
    """A stored mask: its artifact, its score, its box and its area in pixels."""

    mask: str
    score: float
    box: PixelBox
    area: int


async def store_instance(mask: np.ndarray, score: float, at: Stages) -> Instance:
    """Stores a mask, float32 (height, width), and measures it."""
    stored, box, pixels = await gather_or_cancel(
        at.pictures.keep_mask(mask),
        asyncio.to_thread(bounding_box, mask),
        asyncio.to_thread(area, mask),
    )
    return Instance(stored.name, score, box, pixels)
