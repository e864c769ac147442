"""The facts that a denoiser publishes about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.models.sampling import request_names

# What models publish about themselves, by model.
Facts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ModelFacts:
    """The purpose, the sizes and the defaults of the loaded weights."""

    digest: str
    path: str  # by which reproducible requests are computed
    size: int  # longer side in pixels
    multiple: int  # sides are multiples of this many pixels
    factor: int  # pixels to a latent
    steps: int
    scheduler: str
    schedulers: tuple[str, ...]
    guidance: Mapping[str, float]  # defaults by the names of requests, in the order of the model's input
    sizes: tuple[int, ...] = ()  # longer sides at which the weights keep what their card promises, in pixels
    removal: float = (
        0.0  # of the pixels of a thing that is to go, the share that it makes like the ground behind
    )
    # Numbers for the preparation of a request, by name: `margin`, working pixels drawn anew around a hole.
    preparation: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> ModelFacts:
        """The facts as they come from the model. A family may have no guidance, and nothing to prepare."""
        own = facts["defaults"]
        return cls(
            digest=facts["weights"],
            path=facts.get("path", ""),
            size=int(facts["size"]),
            multiple=int(facts["multiple"]),
            factor=int(facts["factor"]),
            steps=int(own["steps"]),
            scheduler=own["scheduler"],
            schedulers=tuple(facts["schedulers"]),
            guidance=request_names(
                {name: float(of["default"]) for name, of in facts.get("guidance", {}).items()}
            ),
            sizes=tuple(int(side) for side in facts.get("sizes", ())),
            removal=float(facts.get("removal", 0.0)),
            preparation={name: int(value) for name, value in facts.get("preparation", {}).items()},
        )
