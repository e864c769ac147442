"""What passes cost, and what follows from it."""

from __future__ import annotations

from services.denoising.costs import Costs, Measured, measure
from tests.services.denoising.doubles import Sketch


def test_sharing_ends_where_rows_get_dearer():
    measured = Measured(256, {1: 1.0, 2: 1.2, 4: 2.0, 8: 4.8}, 1)
    assert measured.best_rows() == 4


def test_a_gain_within_the_noise_is_no_reason_to_share():
    assert Measured(256, {1: 1.0, 2: 1.99, 4: 3.95}, 1).best_rows() == 1


def test_a_pass_that_was_held_up_is_not_believed():
    """More rows cannot take less time: the pass of three was disturbed, and so was the one of nine."""
    assert Measured(256, {1: 1.0, 3: 2.4, 6: 1.5, 9: 9.0, 12: 2.4}, 1).best_rows() == 12
    assert Measured(256, {1: 1.0, 3: 7.0, 4: 1.2}, 1).best_rows() == 4


def test_work_between_two_measured_ones_is_treated_like_the_larger():
    costs = Costs((Measured(64, {1: 1.0, 8: 2.0}, 100), Measured(1024, {1: 1.0, 8: 9.0}, 1600)))
    assert [costs.rows_for(work) for work in (16, 64, 65, 1024, 4096)] == [8, 8, 1, 1, 1]


def test_memory_grows_with_rows_and_work():
    costs = Costs((Measured(64, {1: 1.0}, 1000),))
    assert costs.bytes_for(3, 256) == 3 * 4 * 1000


def test_measuring_keeps_to_its_time():
    ticks = iter(range(10**6))

    def clock() -> float:  # every look at the clock is a tenth of a second later
        return next(ticks) / 10

    network = Sketch()
    costs = measure(network, (16, 64, 256), budget_bytes=1 << 40, seconds=6.0, clock=clock)
    assert 1 <= len(costs.table) <= 3
    assert [m.work for m in costs.table] == sorted(m.work for m in costs.table)
    assert next(ticks) / 10 < 20


def test_measuring_keeps_to_its_memory():
    network = Sketch()
    measure(network, (16, 64), budget_bytes=4 << 20, seconds=2.0)
    assert max(rows.latents.shape[0] for rows in network.passes) <= 4
