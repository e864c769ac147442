"""Sightings: where somebody says that the thing is, in a frame of a clip."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from canvas.mask import shape
from canvas.region import Shaping
from canvas.sight import Sight
from intarsia.errors import EmptyRegion
from orchestrator.media.clip.reader import Frame
from orchestrator.media.picture.picture import Picture
from orchestrator.models.tracking import TrackingSession
from orchestrator.stages.factory import Stages
from orchestrator.workflows.selection import FieldRegion, select


@dataclass(frozen=True)
class Sighting:
    """Where the thing is in one frame."""

    frame: int
    target: FieldRegion


async def pointed(frame: Frame, sighting: Sighting, session: TrackingSession, at: Stages) -> Sight:
    """What is pointed at in a frame. The model is shown the thing itself, before it is shaped."""
    still = Picture(frame.pixels, alpha=None, icc=None, exif=None, format="PNG", bits=8)
    meant = replace(sighting.target.region, shaping=Shaping())
    try:
        found = await select(still, replace(sighting.target, region=meant), at)
    except EmptyRegion as error:
        raise EmptyRegion(
            f"in frame {frame.number}, {error.message}", frame=frame.number, **error.facts
        ) from None
    await session.show(frame.number, frame.pixels, found.mask)
    sight = await shaped(Sight(await asyncio.to_thread(_hard, found.mask), 1.0), sighting)
    if not sight.mask.any():
        raise EmptyRegion(
            f"in frame {frame.number}, no pixel is left of the region after shaping; shrink it less",
            frame=frame.number,
        )
    return sight


async def shaped(sight: Sight, sighting: Sighting) -> Sight:
    """What was found, its outline as the sighting asks for it."""
    shaping = sighting.target.region.shaping
    if shaping == Shaping():
        return sight
    return Sight(await asyncio.to_thread(_shaped, sight.mask, shaping), sight.presence)


def _hard(mask: np.ndarray) -> np.ndarray:
    """A mask of degrees as one of 0 and 1; of one that is faint all over the best pixels are left."""
    return (mask >= min(0.5, float(mask.max()))).view(np.uint8)


def _shaped(mask: np.ndarray, shaping: Shaping) -> np.ndarray:
    """A mask of 0 and 1 with its outline as asked for, 0 and 1 again."""
    return (shape(mask.astype(np.float32), shaping) >= 0.5).view(np.uint8)
