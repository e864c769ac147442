"""Records of how a picture was made: the parameters in its file, and the manifest of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from orchestrator.models.sampling import ResolvedSampling, model_names
from orchestrator.runs.run import Run
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.picture_request import ResolvedRequest
from orchestrator.workflows.results import Manifest
from orchestrator.workflows.sampling import sheet_sampling


def file_parameters(
    resolved: ResolvedRequest,
    composition: Composition,
    sampling: ResolvedSampling,
    settings: Sequence[Mapping[str, object]],
) -> dict[str, object]:
    """The parameters written into a candidate's file: all that is needed to make the same picture again, and
    no times. `settings` are those of each region."""
    return {
        "model": resolved.weights.model,
        "weights": resolved.weights.denoiser.digest,
        **_sampling_parameters(sampling),
        "path": _path(resolved),
        "adapters": _strengths(resolved),
        "match_colours": resolved.request.match_colours,
        "regions": [
            {
                **of_region,
                "mask": plan.part.region.mask,
                "feather": plan.part.feather,
                "overlap": plan.layout.overlap,
                "sheets": [
                    {
                        "box": list(asdict(sheet.box).values()),
                        "working": [sheet.working.width, sheet.working.height],
                        "seed": sheet_sampling(sampling, number).seed,
                    }
                    for number, sheet in enumerate(plan.layout.sheets)
                ],
            }
            for plan, of_region in zip(composition.plans, settings, strict=True)
        ],
    }


def manifest(
    resolved: ResolvedRequest,
    composition: Composition,
    notes: Sequence[str],
    run: Run,
) -> Manifest:
    """The manifest of a result."""
    first = composition.plans[0].layout
    return Manifest(
        sampling=resolved.sampling,
        crop=first.crop,
        working_width=first.sheets[0].working.width,
        working_height=first.sheets[0].working.height,
        stage_seconds=dict(run.times),
        weights=resolved.weights.digests,
        adapters=_strengths(resolved),
        notes=tuple(notes),
        path=_path(resolved),
        licences=resolved.weights.licences,
        model=resolved.weights.model,
    )


def _sampling_parameters(sampling: ResolvedSampling) -> dict[str, object]:
    return {
        "seed": sampling.seed,
        "steps": sampling.steps,
        **model_names(sampling.guidance),
        "scheduler": sampling.scheduler,
        "reproducible": sampling.reproducible,
    }


def _path(resolved: ResolvedRequest) -> str:
    """The path of a reproducible request; passes of others may take several."""
    return resolved.weights.path if resolved.sampling.reproducible else ""


def _strengths(resolved: ResolvedRequest) -> dict[str, float]:
    return {adapter.artifact: adapter.strength for adapter in resolved.request.adapters}
