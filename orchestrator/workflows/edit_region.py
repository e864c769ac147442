"""Editing regions by instruction, leaving every other pixel as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from canvas.box import full_box
from canvas.layout import Cut
from canvas.patch import cut
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
from orchestrator.workflows.selection import AT_ONCE, FieldRegion

FAMILY, MODEL = "ip2p", "ip2p_unet"


@dataclass(frozen=True)
class Edit:
    """What to change, where."""

    target: FieldRegion
    instruction: str
    negative_instruction: str = ""


@dataclass(frozen=True)
class EditRegion:
    """A picture and its edits, laid over each other in this order."""

    picture: str
    edits: tuple[Edit, ...]
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    adapters: tuple[AdapterRef, ...] = ()
    cut: Cut = field(default_factory=Cut)
    match_colours: bool = False
    output: Output = field(default_factory=Output)
    preview_every: int = 0


async def edit_region(request: EditRegion, at: Stages) -> EditResult:
    """Cut the regions out, edit them by instruction, lay them back."""
    weights = await at.ip2p_unet.facts()
    noise = decided(request.sampling, weights)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)

    with at.stage("segment"):
        # All regions are found in the picture as it was; neither words nor adapters depend on them.
        plans, texts, _ = await gather_or_cancel(
            find_edits(request, picture, weights, at),
            at.text_encoder.encode_each(_words(request), family=FAMILY),
            at.ip2p_unet.check_adapters(request.adapters),
        )
        patches = await patchwork(picture, plans, match_colours=request.match_colours)
    said = list(zip(texts[::2], texts[1::2], strict=True))
    of = request.candidates * patches.sheets

    async def draw(piece: Piece) -> Drawn:
        working = piece.sheet.working
        with at.stage("encode", of=of):
            sheet = await asyncio.to_thread(cut, piece.pixels, full_box(piece.pixels), working)
            source = await at.vae.encode(sheet, family=FAMILY)
        with at.stage("denoise", of=of) as work:
            text, no_text = said[piece.region]
            async with at.previews(picture, working, family=FAMILY) as previews:
                denoised = await at.ip2p_unet.denoise(
                    source,
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
                {"instruction": edit.instruction, "negative_instruction": edit.negative_instruction}
                for edit in request.edits
            ],
            notes=[
                *(note for found in plans for note in found.notes),
                *(
                    note
                    for text, no_text in said
                    for note in (*text.notes("instruction"), *no_text.notes("negative instruction"))
                ),
            ],
        ),
    )


async def find_edits(
    request: EditRegion, picture: Picture, weights: ModelFacts, at: Stages
) -> list[RegionPlan]:
    """The regions of every edit, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(edit: Edit) -> RegionPlan:
        async with room:
            return await find(picture, edit.target, edit.instruction, request.cut, weights, at)

    return await gather_or_cancel(*(one(edit) for edit in request.edits))


def questions(request: EditRegion, noise: ResolvedSampling) -> int:
    """How many questions of each step can matter: words and source, source alone, neither."""
    both, source, neither = (
        noise.guidance,
        noise.picture_guidance - noise.guidance,
        1 - noise.picture_guidance,
    )
    same = all(edit.instruction == edit.negative_instruction for edit in request.edits)
    weights = (both + source, neither) if same else (both, source, neither)
    return max(1, sum(weight != 0 for weight in weights))


def _words(request: EditRegion) -> list[str]:
    return [words for edit in request.edits for words in (edit.instruction, edit.negative_instruction)]
