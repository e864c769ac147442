"""The two states whose rates are compared."""

from __future__ import annotations

import pytest

from benchmarks.learnt_prices import BUSY, tables
from benchmarks.step_sharing import RowsMeter, rates_of
from services.acceleration.passes import EagerPasses
from services.adapters.cache import AdapterCache
from services.denoising.costs import Costs, Kind, Measured
from services.denoising.engine import Engine, EngineLimits
from tests.services.denoising.doubles import Sketch, request

MEASURED = Costs((Measured(64, {1: 1.0, 3: 1.5, 24: 2.0}, 1 << 20),))


def test_both_states_begin_with_the_same_prices():
    learnt, kept = (tables(MEASURED, 64, learning=learning) for learning in (True, False))
    for table in (learnt, kept):
        assert table["quiet"].known() == MEASURED.known()
        assert table["busy"].known() == {Kind(64): pytest.approx({n: s / 4 for n, s in BUSY.items()})}
        assert table["quiet"].rows_for(64) == 24 and table["busy"].rows_for(64) == 3


def test_the_engine_that_keeps_busy_prices_shares_nothing():
    family, meters = Sketch(), (RowsMeter(), RowsMeter())
    engines = [
        Engine(
            family,
            tables(Costs((Measured(16, {1: 1.0}, 1 << 20),)), 16, learning=learning)["busy"],
            EngineLimits(memory=1 << 30),
            meter,
            AdapterCache(family.network, 0),
            EagerPasses(family.network),
        )
        for learning, meter in zip((True, False), meters, strict=True)
    ]
    work = [request(seed, steps=2, branches=3) for seed in range(8)]
    rates = rates_of(engines, work, clients=8, rounds=2, left_out=1)
    assert [len(each) for each in rates] == [2, 2] and min(*rates[0], *rates[1]) > 0
    assert set(meters[1].rows) == {3} and max(meters[0].rows) > 3
