"""Finding a region: what an edit would touch, before anything is touched."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.mask import area, bounding_box
from orchestrator.aio import gather_or_cancel
from orchestrator.stages.factory import Stages
from orchestrator.workflows.selection import FieldRegion, select


@dataclass(frozen=True)
class SegmentRegion:
    """What to find in a picture."""

    picture: str
    target: FieldRegion


@dataclass(frozen=True)
class Instance:
    """A mask that was found and kept: where it is stored, how sure it is, what it covers."""

    mask: str
    score: float
    box: PixelBox
    area: int


@dataclass(frozen=True)
class Segmented:
    """Every candidate by falling score, and the region that an edit would use."""

    instances: tuple[Instance, ...]
    region: Instance
    width: int
    height: int
    notes: tuple[str, ...]


async def segment_region(request: SegmentRegion, at: Stages) -> Segmented:
    """Find the candidates, choose, correct and shape, keep every mask."""
    picture = await at.pictures.load(request.picture)
    with at.stage("segment"):
        selection = await select(picture, request.target, at)
    with at.stage("inlay"):
        region, *instances = await gather_or_cancel(
            keep(selection.mask, selection.score, at),
            *(keep(found.mask, found.score, at) for found in selection.candidates),
        )
    return Segmented(tuple(instances), region, picture.width, picture.height, tuple(picture.notes))


async def keep(mask: np.ndarray, score: float, at: Stages) -> Instance:
    """Store a mask, and tell what it covers."""
    kept, box, pixels = await gather_or_cancel(
        at.pictures.keep_mask(mask),
        asyncio.to_thread(bounding_box, mask),
        asyncio.to_thread(area, mask),
    )
    return Instance(kept.name, score, box, pixels)
