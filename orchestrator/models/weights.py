"""Weights by their digest: what was accepted for some weights is run with no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intarsia.errors import NotReady
from orchestrator.triton.tensors import Tensors, text


@dataclass(frozen=True)
class WeightsRef:
    """The digest of the weights that a request must be run with, and the family they are for, if the model
    has several."""

    digest: str
    family: str = ""

    @classmethod
    def published(cls, model: str, facts: Mapping[str, Any], family: str = "") -> WeightsRef:
        """The weights that a model has according to its facts. NotReady if it has none for the family."""
        if not family:
            return cls(facts["weights"])
        families = facts["families"]
        if family not in families:
            raise NotReady(
                f"{model} has no weights for {family}; it has {', '.join(sorted(families)) or 'none'}",
                model=model,
            )
        return cls(families[family]["weights"], family)

    def are_those_of(self, facts: Mapping[str, Any]) -> bool:
        """True if a model with these facts has the weights."""
        own = facts["families"].get(self.family, {}) if self.family else facts
        return bool(own.get("weights") == self.digest)

    def inputs(self) -> Tensors:
        """The inputs by which a model refuses a request for other weights."""
        inputs = {"weights": text(self.digest)}
        return {**inputs, "family": text(self.family)} if self.family else inputs
