"""How a model is run: what was asked for, and what that comes to with the weights that are loaded."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from intarsia.errors import InvalidRequest
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sampling import ResolvedSampling

MOST_CANDIDATES = 16

# The golden ratio of 2^63, odd: its multiples keep their distance for as long as there can be tiles.
_APART = 0x4F1BBCDCBFA53E0B


@dataclass(frozen=True)
class Sampling:
    """How the model is run; None leaves the choice to the server."""

    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    picture_guidance: float | None = None
    scheduler: str | None = None
    reproducible: bool = False


def decided(asked: Sampling, weights: ModelFacts) -> ResolvedSampling:
    """What was left open is chosen by the weights, and the seed drawn."""
    scheduler = asked.scheduler or weights.scheduler
    if scheduler not in weights.schedulers:
        raise InvalidRequest(
            f"these weights are not run with {scheduler}; choose one of {', '.join(weights.schedulers)}",
            field="sampling.scheduler",
        )
    return ResolvedSampling(
        # Room is left for further candidates.
        seed=secrets.randbelow(2**63 - MOST_CANDIDATES) if asked.seed is None else asked.seed,
        steps=weights.steps if asked.steps is None else asked.steps,
        guidance=weights.guidance if asked.guidance is None else asked.guidance,
        picture_guidance=(
            weights.picture_guidance if asked.picture_guidance is None else asked.picture_guidance
        ),
        scheduler=scheduler,
        reproducible=asked.reproducible,
    )


def consecutive(noise: ResolvedSampling, count: int) -> list[ResolvedSampling]:
    """The same way walked with so many seeds, each one more than the one before."""
    return [replace(noise, seed=noise.seed + n) for n in range(count)]


def on_sheet(noise: ResolvedSampling, number: int) -> ResolvedSampling:
    """The way on the n-th sheet of a region, from 0. The first has the seed itself; the others seeds far
    apart that follow from it, since the same noise in every tile would show as a pattern."""
    return replace(noise, seed=(noise.seed + number * _APART) % 2**63)
