"""The work and the cost of an edit, a fill or a removal, without doing any of it."""

from __future__ import annotations

from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import Picture
from orchestrator.stages.factory import Stages
from orchestrator.workflows.edit_region import ResolvedEdit, find_edits
from orchestrator.workflows.fill_region import ResolvedFill, find_hole
from orchestrator.workflows.patches import network_cost
from orchestrator.workflows.region_plan import RegionPlan, store_masks
from orchestrator.workflows.remove_region import ResolvedRemoval
from orchestrator.workflows.results import Plan


async def plan_region(resolved: ResolvedEdit | ResolvedFill | ResolvedRemoval, at: Stages) -> Plan:
    """Find the regions, lay them out, add up what the network would cost."""
    if isinstance(resolved, ResolvedRemoval):
        resolved = resolved.work
    request, weights = resolved.request, resolved.weights
    denoiser = at.denoiser(weights.model)
    await denoiser.check_weights(weights.denoiser)
    picture = await at.pictures.load(request.picture)
    await at.pictures.check_format(picture, request.output.format)
    with at.stage("segment"):
        plans = await _find_regions(resolved, picture, at)
        await denoiser.check_adapters(request.adapters)
    cost, _ = await gather_or_cancel(network_cost(resolved, plans, at), store_masks(plans, at))
    return Plan(
        parts=tuple(plan.part for plan in plans),
        steps=resolved.sampling.steps,
        evaluations=cost.evaluations,
        candidates=request.candidates,
        seconds=cost.seconds,
        notes=(*picture.notes, *(note for plan in plans for note in plan.notes)),
    )


async def _find_regions(
    resolved: ResolvedEdit | ResolvedFill, picture: Picture, at: Stages
) -> list[RegionPlan]:
    if isinstance(resolved, ResolvedEdit):
        return await find_edits(resolved, picture, at)
    return [await find_hole(resolved, picture, at)]
