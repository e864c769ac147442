"""Instances: masks that were found, measured and stored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.mask import area, bounding_box
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.mask_picture import encode_mask
from orchestrator.stages.factory import Stages
from store.artifact import name_of


@dataclass(frozen=True)
class Instance:
    """A stored mask: its artifact, its score, its box, its area in pixels, and its stability."""

    mask: str
    score: float
    box: PixelBox
    area: int
    stability: float = 1.0


async def measure_instance(mask: np.ndarray, score: float, stability: float = 1.0) -> tuple[Instance, bytes]:
    """Measures and encodes a mask, float32 (height, width). Returns the instance and the file of its mask,
    which is still to be stored."""
    (file, name), box, pixels = await gather_or_cancel(
        asyncio.to_thread(_encode, mask),
        asyncio.to_thread(bounding_box, mask),
        asyncio.to_thread(area, mask),
    )
    return Instance(name, score, box, pixels, stability), file


async def store_instance(mask: np.ndarray, score: float, at: Stages, stability: float = 1.0) -> Instance:
    """Stores a mask, float32 (height, width), and measures it."""
    instance, file = await measure_instance(mask, score, stability)
    await at.pictures.keep_mask(file)
    return instance


def _encode(mask: np.ndarray) -> tuple[bytes, str]:
    """The file of a mask, and the name it has once it is stored."""
    file = encode_mask(mask)
    return file, name_of(file)
