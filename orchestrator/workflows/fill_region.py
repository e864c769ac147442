"""Filling a region with what belongs there: damage with what is likely behind it, or what is named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from canvas.box import full_box
from canvas.layout import Cut
from canvas.patch import blank_hole, cut, cut_hole, latent_hole
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import Picture
from orchestrator.models.adapters import AdapterRef
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.workflows.candidates import MadeWith, Output, deliver
from orchestrator.workflows.compose import Drawn, Piece, patchwork
from orchestrator.workflows.region_plan import RegionPlan, find
from orchestrator.workflows.results import EditResult
from orchestrator.workflows.sampling import Sampling, consecutive, decided
from orchestrator.workflows.selection import FieldRegion

FAMILY, MODEL = "sd2_inpaint", "sd2_inpaint"


@dataclass(frozen=True)
class FillRegion:
    """What to fill, and with what. `margin`: working pixels around the region that are drawn anew too,
    and not laid back; None for as many as the weights want."""

    picture: str
    target: FieldRegion
    prompt: str = ""
    negative_prompt: str = ""
    margin: int | None = None
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    adapters: tuple[AdapterRef, ...] = ()
    cut: Cut = field(default_factory=Cut)
    match_colours: bool = False
    output: Output = field(default_factory=Output)
    preview_every: int = 0


async def fill_region(request: FillRegion, at: Stages) -> EditResult:
    """Cut the region out, blank it, fill it, lay the filling back."""
    weights = await at.sd2_inpaint.facts()
    noise = decided(request.sampling, weights)
    margin = weights.margin if request.margin is None else request.margin
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)

    with at.stage("segment"):
        found, (text, no_text), _ = await gather_or_cancel(
            find_hole(request, picture, weights, at),
            at.text_encoder.encode_each((request.prompt, request.negative_prompt), family=FAMILY),
            at.sd2_inpaint.check_adapters(request.adapters),
        )
        patches = await patchwork(picture, [found], match_colours=request.match_colours)
    of = request.candidates * patches.sheets

    async def draw(piece: Piece) -> Drawn:
        working = piece.sheet.working
        with at.stage("encode", of=of):
            sheet = await asyncio.to_thread(cut, piece.pixels, full_box(piece.pixels), working)
            hole = await asyncio.to_thread(cut_hole, piece.hole, working, margin=margin)
            masked, spread = await at.vae.posterior(blank_hole(sheet, hole), family=FAMILY)
        with at.stage("denoise", of=of) as work:
            async with at.previews(picture, working, family=FAMILY) as previews:
                denoised = await at.sd2_inpaint.denoise(
                    masked,
                    spread,
                    latent_hole(hole, weights.factor),
                    text.values,
                    no_text.values,
                    piece.noise,
                    work,
                    adapters=request.adapters,
                    preview_every=request.preview_every,
                    preview=previews.offer if piece.first else None,
                )
        with at.stage("decode", of=of):
            return Drawn(await at.vae.decode(denoised.latents, family=FAMILY), denoised.weights)

    return await deliver(
        patches,
        consecutive(noise, request.candidates),
        draw,
        request.output,
        at,
        made_with=MadeWith(
            model=MODEL,
            family=FAMILY,
            adapters=request.adapters,
            asked=[
                {
                    "prompt": request.prompt,
                    "negative_prompt": request.negative_prompt,
                    "margin": margin,
                }
            ],
            notes=[*found.notes, *text.notes("prompt"), *no_text.notes("negative prompt")],
        ),
    )


async def find_hole(request: FillRegion, picture: Picture, weights: ModelFacts, at: Stages) -> RegionPlan:
    """The region to be filled; in tiles where it is larger than the weights were made for."""
    return await find(picture, request.target, request.prompt, request.cut, weights, at, tiled=True)


def questions(request: FillRegion, noise: ResolvedSampling) -> int:
    """How many questions of each step can matter: with the prompt, and with the negative one."""
    if request.prompt == request.negative_prompt:
        return 1
    return max(1, (noise.guidance != 0) + (noise.guidance != 1))
