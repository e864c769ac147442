"""Editing regions by instruction, leaving every other pixel as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from canvas.box import full_box
from canvas.patch import cut_sheet
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import Picture
from orchestrator.models.denoiser import EditConditioning
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
from orchestrator.workflows.selection import AT_ONCE, FieldRegion

FAMILY, MODEL = "ip2p", "ip2p_unet"

# An edit that changes a smaller share of its region says so. A thing that is to go takes up much of its
# region.
_LEAST_CHANGED, _LEAST_REMOVED = 0.02, 0.25
_REMOVES = ("remove", "erase", "delete", "get rid of", "take away")


@dataclass(frozen=True)
class Edit:
    """An instruction, and the region it applies to."""

    target: FieldRegion
    instruction: str
    negative_instruction: str = ""


@dataclass(frozen=True, kw_only=True)
class EditRegion(PictureRequest):
    """A picture and its edits, laid over each other in this order, as the client sent them.

    `is_removal`: the client asked for a removal, and gave no words.
    """

    edits: tuple[Edit, ...]
    is_removal: bool = False


@dataclass(frozen=True, kw_only=True)
class ResolvedEdit(ResolvedRequest):
    """An edit in which nothing is left open."""

    request: EditRegion

    @property
    def equal_prompts(self) -> bool:
        """Whether instruction and negative instruction are the same in every edit."""
        return all(edit.instruction == edit.negative_instruction for edit in self.request.edits)


def models(request: EditRegion) -> tuple[str, ...]:
    """The models that an edit needs."""
    return required_models(MODEL, (edit.target for edit in request.edits))


def resolve(request: EditRegion, facts: Facts) -> ResolvedEdit:
    """Applies the denoiser's defaults, draws the seed and pins the weights."""
    return ResolvedEdit(
        request=request,
        sampling=resolve_sampling(request.sampling, ModelFacts.read(facts[MODEL])),
        weights=PinnedWeights.of(facts, MODEL, FAMILY),
    )


async def edit_needs(resolved: ResolvedEdit, at: Stages) -> Needs:
    """What an edit takes while it runs."""
    return await picture_needs(resolved, [edit.target for edit in resolved.request.edits], at)


async def edit_region(resolved: ResolvedEdit, at: Stages) -> EditResult:
    """Cut the regions out, edit them by instruction, lay them back."""
    request, weights = resolved.request, resolved.weights
    at.run.expect(SHARES)
    await at.denoiser(MODEL).check_weights(weights.denoiser)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)

    with at.stage("segment"):
        # All regions are found in the picture as it was; neither texts nor adapters depend on them.
        plans, embeddings, _ = await gather_or_cancel(
            find_edits(resolved, picture, at),
            at.text_encoder.encode_each(_texts(request), weights.text_encoder),
            at.denoiser(MODEL).check_adapters(request.adapters),
        )
        composition = await asyncio.to_thread(compose, picture, plans)
    texts = list(zip(embeddings[::2], embeddings[1::2], strict=True))

    at.run.shrink(memory_after_segment(request, composition))
    make = partial(_make_candidate, resolved, composition, texts, at)
    _, stored = await gather_or_cancel(
        store_masks(plans, at), make_candidates(resolved, composition, make, at)
    )
    return await collect_result(resolved, composition, stored, _notes(plans, texts), at)


async def _make_candidate(
    resolved: ResolvedEdit,
    composition: Composition,
    texts: Sequence[tuple[Embedding, Embedding]],
    at: Stages,
    task: CandidateTask,
) -> StoredCandidate:
    """Draw every sheet of every region, one after the other, and store the candidate."""
    request, sampling, slots = resolved.request, task.sampling, task.slots
    async with slots.memory:
        pixels, doubts = await asyncio.to_thread(composition.pixels), list[str]()
        for number, plan in enumerate(composition.plans):
            text, no_text = texts[number]
            draft = await slots.lay(begin_region, composition, number, pixels)
            for tile, sheet in enumerate(plan.layout.sheets):
                piece = await slots.lay(cut_piece, draft, sheet)
                patch = await make_patch(
                    resolved,
                    composition,
                    sheet,
                    partial(_condition, resolved, piece, text, no_text, at),
                    sheet_sampling(sampling, tile),
                    task.trajectory(f"region {number}, sheet {tile}", at),
                    at,
                    previewed=sampling == resolved.sampling,
                )
                with at.stage("inlay", of=total_inlays(resolved, composition)):
                    changed = await slots.lay(lay_sheet, draft, piece, patch, colours=request.match_colours)
                doubts += _unchanged(request, number, changed)
            pixels = await slots.lay(lay_region, composition, number, pixels, draft)
        async with slots.storage:
            return await store_candidate(
                resolved, composition, pixels, sampling, _settings(request), at, doubts
            )


async def _condition(
    resolved: ResolvedEdit, piece: Piece, text: Embedding, no_text: Embedding, at: Stages
) -> EditConditioning:
    seen = await asyncio.to_thread(cut_sheet, piece.pixels, full_box(piece.pixels), piece.sheet.working)
    source = await at.vae.encode(seen, resolved.weights.vae)
    return EditConditioning(source, text.values, no_text.values)


async def find_edits(resolved: ResolvedEdit, picture: Picture, at: Stages) -> list[RegionPlan]:
    """Finds the regions of all edits, a few at a time."""
    request, slots = resolved.request, asyncio.Semaphore(AT_ONCE)

    async def find(edit: Edit) -> RegionPlan:
        async with slots:
            return await find_region(
                picture,
                edit.target,
                edit.instruction,
                request.cut,
                resolved.weights,
                at,
                strict=request.strict,
            )

    return await gather_or_cancel(*(find(edit) for edit in request.edits))


def _unchanged(request: EditRegion, number: int, changed: float) -> list[str]:
    """A note if an edit changed next to nothing of its region, or left in place what it was to remove."""
    instruction = request.edits[number].instruction
    removes = instruction.strip().lower().startswith(_REMOVES)
    if changed >= (_LEAST_REMOVED if removes else _LEAST_CHANGED):
        return []
    edit = f"edit {number + 1} changed" if len(request.edits) > 1 else "the edit changed"
    seen = f"{edit} almost nothing inside its region: {changed:.0%} of the pixels"
    advise = removes and not request.is_removal
    return [f"{seen}; remove-region makes a thing go" if advise else seen]


def _texts(request: EditRegion) -> list[str]:
    return [text for edit in request.edits for text in (edit.instruction, edit.negative_instruction)]


def _settings(request: EditRegion) -> list[dict[str, object]]:
    return [
        {"instruction": edit.instruction, "negative_instruction": edit.negative_instruction}
        for edit in request.edits
    ]


def _notes(plans: Sequence[RegionPlan], texts: Sequence[tuple[Embedding, Embedding]]) -> list[str]:
    notes = [note for plan in plans for note in plan.notes]
    for text, no_text in texts:
        notes += [*text.notes("instruction"), *no_text.notes("negative instruction")]
    return notes
