"""Sightings: the region that the client gives for a frame of a clip."""

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
from orchestrator.models.weights import WeightsRef
from orchestrator.stages.factory import Stages
from orchestrator.workflows.selection import FieldRegion, select


@dataclass(frozen=True)
class Sighting:
    """The region of the object in one frame."""

    frame: int
    target: FieldRegion


async def find_sighting(
    frame: Frame, sighting: Sighting, weights: WeightsRef, session: TrackingSession, at: Stages
) -> Sight:
    """Finds the region of a sighting in its frame by these weights. The session gets the mask before it is
    shaped."""
    still = Picture(frame.pixels, alpha=None, icc=None, exif=None, format="PNG", bits=8)
    unshaped = replace(sighting.target.region, shaping=Shaping())
    try:
        found = await select(still, replace(sighting.target, region=unshaped), at, weights, as_found=True)
    except EmptyRegion as error:
        raise EmptyRegion(
            f"in frame {frame.number}, {error.message}", frame=frame.number, **error.facts
        ) from None
    await session.show(frame.number, frame.pixels, found.mask)
    sight = await shape_sight(Sight(await asyncio.to_thread(_threshold, found.mask), 1.0), sighting)
    if not sight.mask.any():
        raise EmptyRegion(
            f"in frame {frame.number}, no pixel is left of the region after shaping; shrink it less",
            frame=frame.number,
        )
    return sight


async def shape_sight(sight: Sight, sighting: Sighting) -> Sight:
    """A mask in a frame, shaped as the sighting requests."""
    shaping = sighting.target.region.shaping
    if shaping == Shaping():
        return sight
    return Sight(await asyncio.to_thread(_shape, sight.mask, shaping), sight.presence)


def _threshold(mask: np.ndarray) -> np.ndarray:
    """A mask of degrees as a mask of 0 and 1; of a faint one the strongest pixels are left."""
    return (mask >= min(0.5, float(mask.max()))).view(np.uint8)


def _shape(mask: np.ndarray, shaping: Shaping) -> np.ndarray:
    """A mask of 0 and 1, shaped, again as 0 and 1."""
    return (shape(mask.astype(np.float32), shaping) >= 0.5).view(np.uint8)
