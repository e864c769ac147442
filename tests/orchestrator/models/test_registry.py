"""A denoiser is added to the orchestrator by one entry of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from orchestrator.deadline import Deadline
from orchestrator.models.denoiser import Denoiser
from orchestrator.models.facts import ModelFacts
from orchestrator.models.registry import MODELS, ModelSpec, denoisers
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.stages.factory import StageFactory
from orchestrator.triton.tensors import Tensors
from tests.orchestrator.conftest import Start
from tests.orchestrator.doubles.denoiser import Denoiser as Double
from tests.orchestrator.doubles.triton import Triton


class Shift(Double):
    """Moves latents; nothing guides it."""

    guidance: ClassVar[dict[str, float]] = {}

    def _latents(self, inputs: Tensors, done: int, steps: int) -> np.ndarray:
        return (inputs["source"] + inputs["shift"] * done / steps).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ShiftConditioning:
    """The latents to move, and by how much."""

    source: np.ndarray
    shift: float

    def inputs(self) -> Tensors:
        return {"source": self.source, "shift": np.array([self.shift], np.float32)}


async def test_a_denoiser_that_is_registered_is_served(
    start: Start, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict[str, ModelSpec], MODELS), "toy", ModelSpec(Denoiser, decoupled=True))
    cast(Any, triton).toy = toy = Shift()
    orchestrator, _ = await start(INTARSIA_TRITON_TOY=triton.url)
    await orchestrator.wait_until_ready()
    assert "toy" in denoisers()

    stages = cast(StageFactory, cast(Any, orchestrator)._stage_factory).at(Run(Deadline.after(30)))
    denoiser = stages.denoiser("toy")
    facts = ModelFacts.read(await denoiser.client.facts())
    weights = WeightsRef(facts.digest)
    sampling = ResolvedSampling(3, 5, facts.guidance, facts.scheduler, reproducible=False)
    cost = await denoiser.cost([(6, 5)], sampling, weights, equal_prompts=False, candidates=2)
    assert cost.evaluations == 1 and cost.seconds == pytest.approx(10 * toy.seconds)
    source = np.ones((3, 6, 5), np.float32)
    with stages.stage("denoise") as work:
        moved = await denoiser.denoise(ShiftConditioning(source, 2.5), sampling, work, weights)
    np.testing.assert_allclose(moved, source + 2.5)
    assert "guidance" not in toy.requests[0]
