"""Filling a region: damage with what is likely behind it, or with what a prompt names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from canvas.box import full_box
from canvas.patch import blank_hole, cut, cut_hole, latent_hole
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import Picture
from orchestrator.models.denoiser import FillConditioning
from orchestrator.models.facts import Facts, ModelFacts
from orchestrator.models.text_encoder import Embedding
from orchestrator.runs.needs import Needs
from orchestrator.stages.factory import Stages
from orchestrator.workflows.candidate_series import CandidateTask, make_candidates
from orchestrator.workflows.candidates import StoredCandidate, collect_result, store_candidate
from orchestrator.workflows.compose import (
    Composition,
    Piece,
    begin_region,
    compose,
    cut_piece,
    lay_region,
    lay_sheet,
)
from orchestrator.workflows.job_memory import memory_after_segment, picture_needs
from orchestrator.workflows.patches import SHARES, make_patch, total_inlays
from orchestrator.workflows.picture_request import (
    PictureRequest,
    PinnedWeights,
    ResolvedRequest,
    required_models,
)
from orchestrator.workflows.region_plan import RegionPlan, find_region, store_masks
from orchestrator.workflows.results import EditResult
from orchestrator.workflows.sampling import resolve_sampling, sheet_sampling
from orchestrator.workflows.selection import FieldRegion

FAMILY, MODEL = "sd2_inpaint", "sd2_inpaint"


@dataclass(frozen=True, kw_only=True)
class FillRegion(PictureRequest):
    """A region of a picture to fill, as the client sent it. `margin`: working pixels around the region that
    are drawn anew too, and not laid back; None for the model's default."""

    closes_seams: ClassVar[bool] = True

    target: FieldRegion
    prompt: str = ""
    negative_prompt: str = ""
    margin: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedFill(ResolvedRequest):
    """A fill in which nothing is left open."""

    request: FillRegion
    margin: int

    @property
    def equal_prompts(self) -> bool:
        """Whether prompt and negative prompt are the same."""
        return self.request.prompt == self.request.negative_prompt


def models(request: FillRegion) -> tuple[str, ...]:
    """The models that a fill needs."""
    return required_models(MODEL, [request.target])


def resolve(request: FillRegion, facts: Facts) -> ResolvedFill:
    """Applies the denoiser's defaults, draws the seed and pins the weights."""
    denoiser = ModelFacts.read(facts[MODEL])
    return ResolvedFill(
        request=request,
        sampling=resolve_sampling(request.sampling, denoiser),
        weights=PinnedWeights.of(facts, MODEL, FAMILY),
        margin=denoiser.preparation["margin"] if request.margin is None else request.margin,
    )


async def fill_needs(resolved: ResolvedFill, at: Stages) -> Needs:
    """What a fill takes while it runs."""
    return await picture_needs(resolved, [resolved.request.target], at)


async def fill_region(resolved: ResolvedFill, at: Stages) -> EditResult:
    """Cut the region out, blank it, fill it, lay the filling back."""
    request, weights = resolved.request, resolved.weights
    at.run.expect(SHARES)
    await at.denoiser(MODEL).check_weights(weights.denoiser)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)

    with at.stage("segment"):
        plan, (text, no_text), _ = await gather_or_cancel(
            find_hole(resolved, picture, at),
            at.text_encoder.encode_each((request.prompt, request.negative_prompt), weights.text_encoder),
            at.denoiser(MODEL).check_adapters(request.adapters),
        )
        composition = await asyncio.to_thread(compose, picture, [plan])

    at.run.shrink(memory_after_segment(request, composition))
    make = partial(_make_candidate, resolved, composition, text, no_text, at)
    _, stored = await gather_or_cancel(
        store_masks([plan], at), make_candidates(resolved, composition, make, at)
    )
    notes = [*plan.notes, *text.notes("prompt"), *no_text.notes("negative prompt")]
    return await collect_result(resolved, composition, stored, notes, at)


async def _make_candidate(
    resolved: ResolvedFill,
    composition: Composition,
    text: Embedding,
    no_text: Embedding,
    at: Stages,
    task: CandidateTask,
) -> StoredCandidate:
    """Draw every sheet of the region, one after the other, and store the candidate."""
    request, sampling, slots = resolved.request, task.sampling, task.slots
    (plan,) = composition.plans
    async with slots.memory:
        pixels = await asyncio.to_thread(composition.pixels)
        draft = await slots.lay(begin_region, composition, 0, pixels)
        for tile, sheet in enumerate(plan.layout.sheets):
            piece = await slots.lay(cut_piece, draft, sheet)
            patch = await make_patch(
                resolved,
                composition,
                sheet,
                partial(_condition, resolved, piece, text, no_text, at),
                sheet_sampling(sampling, tile),
                task.trajectory(f"sheet {tile}", at),
                at,
                previewed=sampling == resolved.sampling,
            )
            with at.stage("inlay", of=total_inlays(resolved, composition)):
                await slots.lay(
                    lay_sheet, draft, piece, patch, colours=request.match_colours, seam=request.closes_seams
                )
        pixels = await slots.lay(lay_region, composition, 0, pixels, draft)
        async with slots.storage:
            return await store_candidate(resolved, composition, pixels, sampling, [_settings(resolved)], at)


async def _condition(
    resolved: ResolvedFill, piece: Piece, text: Embedding, no_text: Embedding, at: Stages
) -> FillConditioning:
    working, weights = piece.sheet.working, resolved.weights
    seen = await asyncio.to_thread(cut, piece.pixels, full_box(piece.pixels), working)
    hole = await asyncio.to_thread(cut_hole, piece.hole, working, margin=resolved.margin)
    source, spread = await at.vae.posterior(blank_hole(seen, hole), weights.vae)
    return FillConditioning(source, spread, latent_hole(hole, weights.factor), text.values, no_text.values)


async def find_hole(resolved: ResolvedFill, picture: Picture, at: Stages) -> RegionPlan:
    """Finds the region to fill; it is laid out in tiles where it is larger than the model's native size."""
    request = resolved.request
    return await find_region(
        picture,
        request.target,
        request.prompt,
        request.cut,
        resolved.weights,
        at,
        tiled=True,
        strict=request.strict,
    )


def _settings(resolved: ResolvedFill) -> dict[str, object]:
    request = resolved.request
    return {"prompt": request.prompt, "negative_prompt": request.negative_prompt, "margin": resolved.margin}
