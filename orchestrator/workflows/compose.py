"""Composition of a candidate: pieces cut from it for the model, and patches laid back into it.

Pure functions of arrays and values; no model is called here. A candidate is made on the window that holds
every sheet, never on a copy of the whole picture: its cost follows the regions. Within a region every sheet
sees the sheets drawn before it; the region is laid back as a whole, under its mask feathered inward.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from canvas.box import PixelBox, full_box
from canvas.difference import changed_share
from canvas.feather import feather
from canvas.inlay import inlay
from canvas.layout import Sheet, blend
from canvas.membrane import close_seam
from canvas.patch import restore
from canvas.seam import match_colours
from orchestrator.media.picture.picture import Picture
from orchestrator.workflows.region_plan import RegionPlan, enclosing_box


@dataclass(frozen=True, eq=False)
class Composition:
    """The picture, its regions, and their alphas in the window, shared by all candidates of a request."""

    picture: Picture
    plans: Sequence[RegionPlan]
    alphas: Sequence[np.ndarray]
    window: PixelBox

    @property
    def sheets(self) -> int:
        """The number of sheets of a candidate."""
        return sum(len(plan.layout.sheets) for plan in self.plans)

    @property
    def largest_sheet(self) -> int:
        """The number of pixels of the largest sheet."""
        working = (sheet.working for plan in self.plans for sheet in plan.layout.sheets)
        return max(size.width * size.height for size in working)

    @property
    def digest(self) -> str:
        """The same for regions with the same masks, as files, boxes and sheets: what was made of one of two
        such compositions belongs to the other too."""
        regions = [(plan.part.region.mask, plan.part.region.box, plan.layout) for plan in self.plans]
        return hashlib.sha256(repr(regions).encode()).hexdigest()

    def mask(self) -> np.ndarray:
        """The union of all regions' masks, float32 of the picture's size; of a single one, its own."""
        return reduce(np.maximum, (plan.mask for plan in self.plans))

    def pixels(self) -> np.ndarray:
        """A copy of the picture's pixels in the window, as every candidate begins with."""
        return np.array(self.picture.pixels[self.window.window])

    def whole(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of the whole picture with a candidate's window in it."""
        whole = self.picture.pixels.copy()
        whole[self.window.window] = pixels
        return whole


def compose(picture: Picture, plans: Sequence[RegionPlan]) -> Composition:
    """The composition of these regions, which are laid over each other in this order."""
    window = enclosing_box(plans)
    alphas = [np.array(feather(plan.mask, plan.part.feather)[window.window]) for plan in plans]
    return Composition(picture, plans, alphas, window)


@dataclass(frozen=True, eq=False)
class RegionDraft:
    """A region of a candidate while its sheets are drawn; `lay_sheet` changes both arrays in place.

    `pixels` are those of the window, `missing`, bool (height, width), is the part of the region that no
    sheet has drawn yet.
    """

    plan: RegionPlan
    window: PixelBox
    pixels: np.ndarray
    missing: np.ndarray


def begin_region(composition: Composition, number: int, pixels: np.ndarray) -> RegionDraft:
    """The draft of the n-th region on a candidate's window; the window itself is not changed."""
    plan, window = composition.plans[number], composition.window
    return RegionDraft(plan, window, pixels.copy(), plan.mask[window.window] > 0)


@dataclass(frozen=True, eq=False)
class Piece:
    """The pixels (height, width, 3) of a sheet's box as they are by now, and `alpha`, float32 (height,
    width), the opacity of the patch that is laid over them."""

    sheet: Sheet
    pixels: np.ndarray
    alpha: np.ndarray

    @property
    def hole(self) -> np.ndarray:
        """The pixels that are drawn anew, bool (height, width): the region, except for most of what its
        earlier sheets have drawn."""
        return self.alpha > 0


def cut_piece(draft: RegionDraft, sheet: Sheet) -> Piece:
    """The piece of a draft that the model sees on this sheet."""
    box = sheet.box.within(draft.window).window
    region = draft.plan.mask[sheet.box.window] > 0
    return Piece(sheet, draft.pixels[box], blend(draft.missing[box], region, draft.plan.layout.overlap))


def lay_sheet(
    draft: RegionDraft, piece: Piece, patch: np.ndarray, *, colours: bool, seam: bool = False
) -> float:
    """Lays the patch of a piece, as `make_patch` returns it, into the draft.

    With `colours` it is matched to its surroundings first, and with `seam` bent to meet them all along the
    border of the hole. Returns the share of the hole's pixels that it changes by more than the model's noise.
    """
    pixels = restore(patch, piece.sheet.box, piece.sheet.working, piece.pixels.dtype.type)
    if colours:
        pixels = match_colours(pixels, piece.pixels, piece.hole)
    if seam:
        pixels = close_seam(pixels, piece.pixels, piece.hole)
    # The piece is a view of the draft, which is written next.
    changed = changed_share(pixels, piece.pixels, piece.hole)
    box = piece.sheet.box.within(draft.window).window
    draft.pixels[box] = inlay(piece.pixels, pixels, full_box(piece.pixels), piece.alpha)
    draft.missing[box] = False
    return changed


def lay_region(composition: Composition, number: int, pixels: np.ndarray, draft: RegionDraft) -> np.ndarray:
    """A candidate's window with the n-th region laid into it."""
    crop = draft.plan.layout.crop.within(composition.window)
    return inlay(pixels, draft.pixels[crop.window], crop, composition.alphas[number])
