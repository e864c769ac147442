"""Sampling: the client's settings, resolved with a model's defaults, and the seeds that follow from them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from intarsia.errors import InvalidRequest
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sampling import ResolvedSampling

MOST_CANDIDATES = 16

# The golden ratio of 2^63, odd: its multiples stay far apart for as many tiles as there can be.
_SEED_STRIDE = 0x4F1BBCDCBFA53E0B


@dataclass(frozen=True)
class Sampling:
    """The client's settings for a model; None leaves the choice to the server."""

    seed: int | None = None
    steps: int | None = None
    guidance: Mapping[str, float] = field(default_factory=dict)  # by name; those that are absent: defaults
    scheduler: str | None = None
    reproducible: bool = False


def resolve_sampling(requested: Sampling, facts: ModelFacts) -> ResolvedSampling:
    """Takes the model's defaults for settings that are None, and draws the seed."""
    scheduler = requested.scheduler or facts.scheduler
    if scheduler not in facts.schedulers:
        raise InvalidRequest(
            f"these weights do not run with {scheduler}; choose one of {', '.join(facts.schedulers)}",
            field="sampling.scheduler",
        )
    for name in requested.guidance:
        if name not in facts.guidance:
            raise InvalidRequest(
                f"this model has no guidance {name[:50]!r}; the names are: {', '.join(facts.guidance)}",
                field=f"sampling.guidance.{name[:50]}",
            )
    return ResolvedSampling(
        # The seeds of further candidates must be below 2^63 too.
        seed=secrets.randbelow(2**63 - MOST_CANDIDATES) if requested.seed is None else requested.seed,
        steps=facts.steps if requested.steps is None else requested.steps,
        guidance={name: requested.guidance.get(name, default) for name, default in facts.guidance.items()},
        scheduler=scheduler,
        reproducible=requested.reproducible,
    )


def candidate_samplings(first: ResolvedSampling, count: int) -> list[ResolvedSampling]:
    """The samplings of all candidates: equal, but with consecutive seeds."""
    return [replace(first, seed=first.seed + n) for n in range(count)]


def sheet_sampling(sampling: ResolvedSampling, number: int) -> ResolvedSampling:
    """The sampling for the n-th sheet of a region, from 0. The first has the seed itself, the others seeds
    far apart that follow from it: the same noise in every tile would show as a pattern."""
    return replace(sampling, seed=(sampling.seed + number * _SEED_STRIDE) % 2**63)
