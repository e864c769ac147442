"""Finding a region: what an edit would touch, before anything is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intarsia.canvas.box import PixelBox
from intarsia.canvas.mask import bounding_box, box_mask, choose, polygon_mask, shape
from intarsia.canvas.region import (
    Box,
    Candidate,
    Clicks,
    MaskPicture,
    Polygon,
    Region,
    Selector,
    Words,
    check_inside,
    in_pixels,
)
from intarsia.errors import EmptyRegion
from orchestrator.artifacts.picture import Picture, eight_bits
from orchestrator.stages.together import together
from orchestrator.stages.workshop import Stages


@dataclass(frozen=True)
class Place:
    """A region, and whether its coordinates are fractions of the picture instead of pixels."""

    region: Region
    relative: bool = False


@dataclass(frozen=True)
class SegmentRegion:
    """What to find in a picture."""

    picture: str
    place: Place


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


@dataclass(frozen=True, eq=False)
class Selection:
    """Candidates by falling score, and the mask after choice and shaping; it selects at least a pixel.

    `weights` are the digests of the models that were asked, by model.
    """

    candidates: tuple[Candidate, ...]
    mask: np.ndarray
    score: float
    feather: float
    weights: Mapping[str, str]


async def segment_region(request: SegmentRegion, at: Stages) -> Segmented:
    """Find the candidates, choose and shape, keep every mask."""
    picture = await at.pictures.load(request.picture)
    with at.stage("segment"):
        selection = await select(picture, request.place, at)
    with at.stage("inlay"):
        region, *instances = await together(
            keep(selection.mask, selection.score, at),
            *(keep(found.mask, found.score, at) for found in selection.candidates),
        )
    return Segmented(tuple(instances), region, picture.width, picture.height, tuple(picture.notes))


async def select(picture: Picture, place: Place, at: Stages) -> Selection:
    """Find what is pointed at, choose among the candidates, shape the outline."""
    width, height = picture.width, picture.height
    region = in_pixels(place.region, width, height) if place.relative else place.region
    check_inside(region, width, height)

    found = await _candidates(picture, region.selector, at)
    candidates = await asyncio.to_thread(_ranked, found)
    if not candidates:
        raise EmptyRegion(f"{_told(region.selector)} selects no pixel; point at the thing in another way")
    chosen = await asyncio.to_thread(choose, candidates, region.choice)
    mask = await asyncio.to_thread(shape, chosen, region.shaping)
    if not await asyncio.to_thread(np.any, mask):
        raise EmptyRegion(
            f"{_told(region.selector)} selects no pixel any more after choice and shaping; "
            "choose another candidate, or shrink it less",
            candidates=len(candidates),
            best_score=f"{candidates[0].score:.3f}",
        )
    scores = [candidate.score for candidate in candidates if candidate.mask is chosen]
    return Selection(
        candidates=tuple(candidates),
        mask=mask,
        score=scores[0] if scores else candidates[0].score,
        feather=region.shaping.feather,
        weights={} if _is_drawn(region.selector) else {"sam": await at.sam.weights()},
    )


async def keep(mask: np.ndarray, score: float, at: Stages) -> Instance:
    """Store a mask, and tell what it covers."""
    kept, box, area = await together(
        at.pictures.keep_mask(mask),
        asyncio.to_thread(bounding_box, mask),
        asyncio.to_thread(np.count_nonzero, mask),
    )
    return Instance(kept.name, score, box, int(area))


async def _candidates(picture: Picture, selector: Selector, at: Stages) -> list[Candidate]:
    """What is drawn is certain; what is pointed at is asked of the model."""
    size = (picture.height, picture.width)
    if isinstance(selector, Polygon):
        return [Candidate(await asyncio.to_thread(polygon_mask, selector.corners, *size), 1.0)]
    if isinstance(selector, MaskPicture):
        return [Candidate(await at.pictures.load_mask(selector, picture), 1.0)]
    if isinstance(selector, Box) and selector.exact:
        return [Candidate(await asyncio.to_thread(box_mask, selector, *size), 1.0)]
    return await at.sam.segment(await asyncio.to_thread(eight_bits, picture.pixels), selector)


def _ranked(found: list[Candidate]) -> list[Candidate]:
    """By falling score, without those that select nothing."""
    return sorted((one for one in found if one.mask.any()), key=lambda candidate: -candidate.score)


def _is_drawn(selector: Selector) -> bool:
    return isinstance(selector, Polygon | MaskPicture) or (isinstance(selector, Box) and selector.exact)


def _told(selector: Selector) -> str:
    """The selector in plain words."""
    if isinstance(selector, Words):
        return f"the words “{selector.phrase}” (threshold {selector.threshold:g})"
    if isinstance(selector, Clicks):
        where = ", ".join(f"({click.x:g}, {click.y:g})" for click in selector.clicks if not click.outside)
        return f"the click at {where}" if len(selector.clicks) == 1 else f"clicks at {where}"
    if isinstance(selector, Box):
        return f"the box ({selector.left:g}, {selector.top:g}) to ({selector.right:g}, {selector.bottom:g})"
    return "the polygon" if isinstance(selector, Polygon) else "the mask picture"
