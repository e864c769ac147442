"""The facts that a denoiser publishes about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelFacts:
    """The native size and the defaults of the loaded weights, and the measured cost of their passes."""

    digest: str
    size: int  # longer side in pixels
    multiple: int  # sides are multiples of this many pixels
    factor: int  # pixels to a latent
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    schedulers: tuple[str, ...]
    margin: int = 0  # working pixels drawn anew around a hole
    passes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> ModelFacts:
        """The facts as they come from the model."""
        own = facts["defaults"]
        return cls(
            digest=facts["weights"],
            size=int(facts["size"]),
            multiple=int(facts["multiple"]),
            factor=int(facts["factor"]),
            steps=int(own["steps"]),
            guidance=float(own["guidance"]),
            picture_guidance=float(own.get("picture_guidance", 1.0)),
            scheduler=own["scheduler"],
            schedulers=tuple(facts["schedulers"]),
            margin=int(own.get("margin", 0)),
            passes=tuple(facts.get("passes", ())),
        )

    def seconds_for(self, rows: int, area: int) -> float:
        """About what a pass of so many rows over this latent area takes when the model does nothing else.

        Measured by the model when it was loaded; 0 if it publishes no measurements.
        """
        if not self.passes:
            return 0.0
        nearest = min(self.passes, key=lambda known: abs(math.log(known["area"] / area)))
        measured = min(nearest["seconds"], key=lambda known: abs(int(known) - rows))
        return nearest["seconds"][measured] / int(measured) * rows * area / nearest["area"]
