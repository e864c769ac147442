"""Region plans: regions found and laid out on sheets, before the first step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox
from canvas.layout import Cut, SheetLayout, lay_out
from orchestrator.media.picture.picture import Picture
from orchestrator.stages.factory import Stages
from orchestrator.workflows.instance import measure_instance
from orchestrator.workflows.picture_request import PinnedWeights
from orchestrator.workflows.results import Part
from orchestrator.workflows.selection import FieldRegion, select

# A region that covers more of a picture than this may be the wrong side of its mask.
_SUSPICIOUS = 0.5


@dataclass(frozen=True, eq=False)
class RegionPlan:
    """A region with its mask, float32 of the picture's size, and the sheets it is drawn on.

    `mask_file` is the mask as a file; `store_masks` stores it.
    """

    part: Part
    mask: np.ndarray
    mask_file: bytes
    layout: SheetLayout
    doubts: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is doubtful about the region, and a warning if it is suspiciously large."""
        share = self.part.region.area / self.mask.size
        if share <= _SUSPICIOUS:
            return self.doubts
        return (
            *self.doubts,
            f"the region covers {share:.0%} of the picture; if it should not, invert it",
        )


async def find_region(
    picture: Picture,
    target: FieldRegion,
    words: str,
    cut: Cut,
    weights: PinnedWeights,
    at: Stages,
    *,
    tiled: bool = False,
    strict: bool = False,
) -> RegionPlan:
    """Finds a region and lays it out. With `tiled`, regions larger than the model's native size are laid out
    in tiles; with `strict`, a region with doubts about it is refused."""
    selection = await select(picture, target, at, weights.sam, strict=strict)
    region, mask_file = await measure_instance(selection.mask, selection.score, selection.stability)
    layout = await asyncio.to_thread(
        lay_out,
        selection.mask,
        cut,
        size=weights.size,
        multiple=weights.multiple,
        sizes=weights.sizes,
        tiled=tiled,
    )
    part = Part(region, words, layout.crop, layout.sheets, selection.grow, selection.feather)
    return RegionPlan(part, selection.mask, mask_file, layout, selection.notes)


async def store_masks(plans: Sequence[RegionPlan], at: Stages) -> None:
    """Stores the masks of all regions: to be awaited beside the models' work, which needs no disk."""
    for plan in plans:
        await at.pictures.keep_mask(plan.mask_file)


def enclosing_box(plans: Sequence[RegionPlan]) -> PixelBox:
    """The smallest box that holds every crop and every sheet."""
    boxes = [box for plan in plans for box in (plan.layout.crop, *(s.box for s in plan.layout.sheets))]
    return PixelBox(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
