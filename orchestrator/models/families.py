"""Models that serve several families, each with weights of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intarsia.errors import NotReady
from orchestrator.models.client import ModelClient
from orchestrator.runs.run import Run
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import Tensors, text


@dataclass(frozen=True)
class FamilyModel:
    """A model that serves several families. Bound to one run."""

    client: ModelClient
    run: Run
    digests: dict[str, str] = field(default_factory=dict)  # of the weights that did the run's work

    async def digest(self, family: str) -> str:
        """The digest of the family's weights that did the latest work of the run, or else would do it."""
        if family not in self.digests:
            facts = await self.client.facts()
            self.digests[family] = self._of_family(facts, family)["weights"]
        return self.digests[family]

    async def _infer(self, family: str, inputs: Tensors) -> dict[str, np.ndarray]:
        deadline = self.run.deadline

        async def infer(lease: Lease) -> dict[str, np.ndarray]:
            reply = await lease.infer({"family": text(family), **inputs}, deadline=deadline)
            facts = await lease.facts(deadline=deadline)
            self.digests[family] = self._of_family(facts, family)["weights"]
            return reply

        return await self.client.run(infer, deadline=deadline)

    def _of_family(self, facts: Mapping[str, Any], family: str) -> Mapping[str, Any]:
        families = facts["families"]
        if family not in families:
            raise NotReady(
                f"{self.client.name} has no weights for {family}; it has "
                f"{', '.join(sorted(families)) or 'none'}"
            )
        return families[family]
