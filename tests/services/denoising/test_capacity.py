"""How many requests a step loop says it takes."""

from __future__ import annotations

import pytest

from services.denoising.capacity import capacity_facts
from services.denoising.costs import Costs, Measured
from services.denoising.memory_budget import state_bytes
from services.denoising.queue import EngineLimits
from tests.services.denoising.doubles import request

# A row of 16 is cheapest in passes of 12, one of 64 alone.
COSTS = Costs((Measured(16, {1: 1.0, 12: 2.0}, 100), Measured(64, {1: 2.0, 12: 40.0}, 1000)))


def test_the_work_at_which_most_requests_share_a_pass_says_how_many_fill_one() -> None:
    typical = request(branches=3)
    limits = EngineLimits(memory=1 << 40)
    assert capacity_facts(typical, [16, 64], COSTS, limits)["full_pass"] == 4
    assert capacity_facts(typical, [64], COSTS, limits)["full_pass"] == 1
    alone = EngineLimits(memory=1 << 40, running=1, waiting=5)
    told = capacity_facts(typical, [16], COSTS, alone)
    assert (told["full_pass"], told["running"], told["waiting"]) == (1, 1, 5)


@pytest.mark.parametrize("requests", [1, 3, 40])
def test_as_many_fit_as_memory_holds_beside_the_pass_of_one(requests: int) -> None:
    typical = request()
    memory = requests * state_bytes(typical) + COSTS.step_bytes(typical)
    assert capacity_facts(typical, [16], COSTS, EngineLimits(memory))["fit"] == requests
    short = capacity_facts(typical, [16], COSTS, EngineLimits(memory - 1))["fit"]
    assert short == max(1, requests - 1), "one is always sent, to be told what is wrong"
