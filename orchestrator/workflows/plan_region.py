"""What an edit or a fill would do and cost, without any of it being done."""

from __future__ import annotations

from orchestrator.media.picture.picture import Picture
from orchestrator.models.facts import ModelFacts
from orchestrator.stages.factory import Stages
from orchestrator.workflows import edit_region, fill_region
from orchestrator.workflows.edit_region import EditRegion, find_edits
from orchestrator.workflows.fill_region import FillRegion, find_hole
from orchestrator.workflows.region_plan import RegionPlan
from orchestrator.workflows.results import Plan
from orchestrator.workflows.sampling import decided


async def plan_region(request: EditRegion | FillRegion, at: Stages) -> Plan:
    """Find the regions, lay them out, add up what the network would be asked."""
    edits = isinstance(request, EditRegion)
    denoiser = at.denoiser(edit_region.MODEL if edits else fill_region.MODEL)
    weights = await denoiser.facts()
    noise = decided(request.sampling, weights)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)
    with at.stage("segment"):
        plans = await _found(request, picture, weights, at)
        await denoiser.check_adapters(request.adapters)
    if isinstance(request, EditRegion):
        questions = edit_region.questions(request, noise)
    else:
        questions = fill_region.questions(request, noise)
    areas = [
        sheet.working.width * sheet.working.height // weights.factor**2
        for found in plans
        for sheet in found.laid.sheets
    ]
    each = sum(weights.seconds_for(questions, area) for area in areas)
    return Plan(
        parts=tuple(found.part for found in plans),
        steps=noise.steps,
        questions=questions,
        candidates=request.candidates,
        seconds=each * noise.steps * request.candidates,
        notes=(*picture.notes, *(note for found in plans for note in found.notes)),
    )


async def _found(
    request: EditRegion | FillRegion, picture: Picture, weights: ModelFacts, at: Stages
) -> list[RegionPlan]:
    if isinstance(request, EditRegion):
        return await find_edits(request, picture, weights, at)
    return [await find_hole(request, picture, weights, at)]
