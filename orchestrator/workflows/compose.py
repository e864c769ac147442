"""Patchwork: how a candidate comes about, region by region, sheet by sheet.

A candidate works on the window that holds every sheet, never on a copy of the whole picture: what it costs
follows the regions. Within a region every sheet sees what those before it have made; laid back is the
region as a whole, under its mask feathered inward.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from canvas.box import PixelBox, full_box
from canvas.feather import feather
from canvas.inlay import inlay
from canvas.layout import Sheet, blend
from canvas.patch import restore
from canvas.seam import match_colours
from orchestrator.media.picture.picture import Picture
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.workflows.region_plan import RegionPlan, window_of
from orchestrator.workflows.sampling import on_sheet


@dataclass(frozen=True, eq=False)
class Piece:
    """What is drawn next: pixels (height, width, 3) of a sheet's box as they are by now, and the part of
    them, bool (height, width), that is to be drawn anew: the region, but for most of what is made of it."""

    pixels: np.ndarray
    hole: np.ndarray
    sheet: Sheet
    region: int  # which of the request's
    noise: ResolvedSampling
    first: bool  # whether it belongs to the first candidate, which is the one that previews show


@dataclass(frozen=True, eq=False)
class Drawn:
    """A patch, float32 (3, height, width) in [-1, 1] at its sheet's working size, and the digest of the
    weights that made it."""

    patch: np.ndarray
    weights: str


Draw = Callable[[Piece], Awaitable[Drawn]]


@dataclass(frozen=True, eq=False)
class Patchwork:
    """The regions of a request in a picture, ready to be worked on."""

    picture: Picture
    plans: Sequence[RegionPlan]
    alphas: Sequence[np.ndarray]  # of each region, within the window
    window: PixelBox
    match_colours: bool

    @property
    def sheets(self) -> int:
        """How many sheets a candidate has."""
        return sum(len(found.laid.sheets) for found in self.plans)

    @property
    def nbytes(self) -> int:
        """What a candidate holds while it is made: its window, and the window as it is being worked on."""
        return 2 * self.picture.pixels[self.window.window].nbytes

    async def make(
        self, noise: ResolvedSampling, draw: Draw, at: Stages, *, first: bool, of: int
    ) -> tuple[np.ndarray, str]:
        """A candidate's window, all its regions worked on one after the other, and the digest of the
        weights that made it. Its inlays are pieces of `of`."""
        weights = ""
        made = await asyncio.to_thread(np.array, self.picture.pixels[self.window.window])
        for number, found in enumerate(self.plans):
            worked = await asyncio.to_thread(made.copy)
            remaining = await asyncio.to_thread(np.greater, found.mask[self.window.window], 0)
            for tile, sheet in enumerate(found.laid.sheets):
                box = sheet.box.within(self.window).window
                region = found.mask[sheet.box.window] > 0
                alpha = await asyncio.to_thread(blend, remaining[box], region, found.laid.overlap)
                piece = Piece(worked[box], alpha > 0, sheet, number, on_sheet(noise, tile), first)
                drawn = await draw(piece)
                weights = drawn.weights
                with at.stage("inlay", of=of):
                    worked[box] = await asyncio.to_thread(self._laid, drawn.patch, piece, alpha)
                remaining[box] = False
            crop = found.laid.crop.within(self.window)
            made = await asyncio.to_thread(inlay, made, worked[crop.window], crop, self.alphas[number])
        return made, weights

    def _laid(self, patch: np.ndarray, piece: Piece, alpha: np.ndarray) -> np.ndarray:
        """The piece with its patch in it, as strongly as `alpha` says."""
        laid = restore(patch, piece.sheet.box, piece.sheet.working, piece.pixels.dtype.type)
        if self.match_colours:
            laid = match_colours(laid, piece.pixels, piece.hole)
        return inlay(piece.pixels, laid, full_box(piece.pixels), alpha)


async def patchwork(picture: Picture, plans: Sequence[RegionPlan], *, match_colours: bool) -> Patchwork:
    """Everything that all candidates share, worked out once."""
    window = window_of(plans)

    def softened(found: RegionPlan) -> np.ndarray:
        return np.array(feather(found.mask, found.feather)[window.window])

    alphas = [await asyncio.to_thread(softened, found) for found in plans]
    return Patchwork(picture, plans, alphas, window, match_colours)
