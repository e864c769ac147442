"""Patches: what the model makes of a sheet, denoised and decoded; the same for edits and fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from canvas.layout import Sheet
from orchestrator.models.denoiser import Conditioning, Cost
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.stages.trajectory_memory import SHORT, ExpectedTime, TrajectoryMemory
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.picture_request import ResolvedRequest
from orchestrator.workflows.region_plan import RegionPlan

# The share of each stage in the progress of an edit or a fill.
SHARES: Mapping[str, float] = {
    "segment": 0.08,
    "encode": 0.06,
    "denoise": 0.76,
    "decode": 0.05,
    "inlay": 0.05,
}


def total_sheets(resolved: ResolvedRequest, composition: Composition) -> int:
    """The number of sheets of all candidates."""
    return resolved.request.candidates * composition.sheets


def total_inlays(resolved: ResolvedRequest, composition: Composition) -> int:
    """The number of pieces of the stage *inlay*: every sheet is laid back, every candidate stored."""
    return resolved.request.candidates * (composition.sheets + 1)


async def network_cost(resolved: ResolvedRequest, plans: Sequence[RegionPlan], at: Stages) -> Cost:
    """The cost of all candidates for the network."""
    weights = resolved.weights
    return await at.denoiser(weights.model).cost(
        [
            (sheet.working.height // weights.factor, sheet.working.width // weights.factor)
            for plan in plans
            for sheet in plan.layout.sheets
        ],
        resolved.sampling,
        weights.denoiser,
        equal_prompts=resolved.equal_prompts,
        candidates=resolved.request.candidates,
    )


async def expected_time(
    resolved: ResolvedRequest, composition: Composition, at_once: int, at: Stages
) -> ExpectedTime:
    """The time of a candidate, of which so many are made at once, and of one of its steps. A run that
    remembers nothing need not know."""
    if not at.memory.lasts:
        return SHORT
    cost = await network_cost(resolved, composition.plans, at)
    candidates = resolved.request.candidates
    candidate = cost.seconds / candidates * min(at_once, candidates)
    return ExpectedTime(candidate, candidate / (composition.sheets * resolved.sampling.steps))


async def make_patch(
    resolved: ResolvedRequest,
    composition: Composition,
    sheet: Sheet,
    condition: Callable[[], Awaitable[Conditioning]],
    sampling: ResolvedSampling,
    trajectory: TrajectoryMemory,
    at: Stages,
    *,
    previewed: bool,
) -> np.ndarray:
    """Encodes by `condition`, denoises and decodes: the patch of a sheet (3, height, width), uint8 if the
    picture is, else float32 in [-1, 1]. What is kept of its trajectory is not made again."""
    request, weights, of = resolved.request, resolved.weights, total_sheets(resolved, composition)
    latents = await trajectory.latents()
    if latents is None:
        with at.stage("encode", of=of):
            conditioning = await condition()
        with at.stage("denoise", of=of) as work:
            async with at.previews(composition.picture, sheet.working, weights.vae) as previews:
                latents = await at.denoiser(weights.model).denoise(
                    conditioning,
                    sampling,
                    work,
                    weights.denoiser,
                    adapters=request.adapters,
                    preview_every=request.preview_every,
                    preview=previews.offer if previewed else None,
                    checkpoints=trajectory,
                )
            await trajectory.finish(latents)
    else:
        at.run.skip("encode", of=of)
        at.run.skip("denoise", of=of)
    with at.stage("decode", of=of):
        eight_bits = composition.picture.pixels.dtype == np.uint8
        decode = at.vae.decode_pixels if eight_bits else at.vae.decode
        return await decode(latents, weights.vae)
