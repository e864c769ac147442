"""Candidates: pictures that are stored with their views, and the result that they are put together to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.instance import store_instance
from orchestrator.workflows.manifest import file_parameters, manifest
from orchestrator.workflows.patches import total_inlays
from orchestrator.workflows.picture_request import ResolvedRequest
from orchestrator.workflows.results import Candidate, EditResult
from orchestrator.workflows.views import candidate_views, shared_views, store_collage


@dataclass(frozen=True)
class StoredCandidate:
    """A candidate, and notes about how its file was written and about what it shows."""

    candidate: Candidate
    notes: tuple[str, ...]


async def store_candidate(
    resolved: ResolvedRequest,
    composition: Composition,
    pixels: np.ndarray,
    sampling: ResolvedSampling,
    settings: Sequence[Mapping[str, object]],
    at: Stages,
    doubts: Sequence[str] = (),
) -> StoredCandidate:
    """Stores a candidate, whose window has these pixels, with its parameters, and then its views.

    `settings` are those of each region, `doubts` those about this candidate. No model is asked any more: a
    candidate that was made is not lost if one goes down.
    """
    output = resolved.request.output
    with at.stage("inlay", of=total_inlays(resolved, composition)):
        stored, notes = await at.pictures.keep(
            composition.picture,
            pixels,
            output.format,
            output.quality,
            parameters=file_parameters(resolved, composition, sampling, settings),
            window=composition.window,
            strip_location=output.strip_location,
        )
        views = await candidate_views(composition, pixels, output, at)
    said = [f"seed {sampling.seed}: {one}" if resolved.request.candidates > 1 else one for one in doubts]
    return StoredCandidate(Candidate(stored.name, sampling.seed, views), (*notes, *said))


async def collect_result(
    resolved: ResolvedRequest,
    composition: Composition,
    stored: Sequence[StoredCandidate],
    notes: Sequence[str],
    at: Stages,
) -> EditResult:
    """Stores what all candidates share, and puts the result together; `notes` are those of the recipe."""
    wanted = resolved.request.candidates
    missing = [f"{len(stored)} of {wanted} candidates were made"] if len(stored) < wanted else []
    output, first = resolved.request.output, composition.plans[0].part.region
    candidates = tuple(one.candidate for one in stored)
    mask = await asyncio.to_thread(composition.mask)
    return EditResult(
        picture=candidates[0].picture,
        mask=(await store_instance(mask, 1.0, at)).mask if len(composition.plans) > 1 else first.mask,
        region=first,
        candidates=candidates,
        parts=tuple(plan.part for plan in composition.plans),
        views=await shared_views(composition, mask, output, at),
        collage=await store_collage(composition, mask, candidates, output.collage, at)
        if output.collage
        else "",
        manifest=manifest(
            resolved,
            composition,
            tuple(dict.fromkeys([*(note for one in stored for note in one.notes), *notes, *missing])),
            at.run,
        ),
    )
