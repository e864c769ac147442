"""Regions found and laid out: what edits, fills and plans have in common before the first step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.layout import Cut, SheetLayout, lay_out
from orchestrator.media.picture.picture import Picture
from orchestrator.models.facts import ModelFacts
from orchestrator.stages.factory import Stages
from orchestrator.workflows.results import Part
from orchestrator.workflows.segment_region import keep
from orchestrator.workflows.selection import FieldRegion, select

# A region that covers more of a picture than this may be the wrong side of its mask.
_SUSPICIOUS = 0.5


@dataclass(frozen=True, eq=False)
class RegionPlan:
    """A region with its mask, float32 of the picture's size, and the sheets it is worked on."""

    part: Part
    mask: np.ndarray
    feather: float
    laid: SheetLayout
    weights: Mapping[str, str]  # digests of the models that were asked for it

    @property
    def notes(self) -> tuple[str, ...]:
        """What may not be meant."""
        share = self.part.region.area / self.mask.size
        if share <= _SUSPICIOUS:
            return ()
        return (f"the region covers {share:.0%} of the picture; if it should not, invert it",)


async def find(
    picture: Picture,
    target: FieldRegion,
    words: str,
    cut: Cut,
    weights: ModelFacts,
    at: Stages,
    *,
    tiled: bool = False,
) -> RegionPlan:
    """Find a region and lay it out. `tiled`: what is larger than the weights were made for goes in tiles."""
    selection = await select(picture, target, at)
    region = await keep(selection.mask, selection.score, at)
    laid = await asyncio.to_thread(
        lay_out, selection.mask, cut, size=weights.size, multiple=weights.multiple, tiled=tiled
    )
    part = Part(region, words, laid.crop, laid.sheets)
    return RegionPlan(part, selection.mask, selection.feather, laid, selection.weights)


def window_of(plans: Sequence[RegionPlan]) -> PixelBox:
    """The smallest box that holds every crop and every sheet."""
    boxes = [box for found in plans for box in (found.laid.crop, *(s.box for s in found.laid.sheets))]
    return PixelBox(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
