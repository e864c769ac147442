"""What passes cost in memory and time, and what the start measures of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.denoising.costs import Costs, Kind, Measured, measure
from services.denoising.row_choice import LADDER
from tests.services.denoising.doubles import Sketch
from tests.services.denoising.timed_sketch import TimedSketch

COUNTS = (3, 6, 9, 12)


@pytest.fixture
def stopwatch(monkeypatch):
    """Makes the start measure time by the clock of a family."""

    def use(family: TimedSketch) -> None:
        def timed(work: Callable[[], object]) -> float:
            before = family.now
            work()
            return family.now - before

        monkeypatch.setattr("services.denoising.ladder.timed", timed)

    return use


def test_memory_grows_with_rows_and_work():
    costs = Costs((Measured(64, {1: 1.0}, 1000),))
    assert costs.bytes_for(3, 256) == 3 * 4 * 1000


def test_seconds_of_another_work_follow_from_the_nearest():
    costs = Costs((Measured(64, {1: 0.1, 3: 0.3}, 1), Measured(256, {1: 1.0, 3: 2.4}, 1)))
    assert costs.seconds_for(3, 16) == pytest.approx(0.3 / 4)
    assert costs.seconds_for(2, 256) == pytest.approx(1.7)
    assert costs.seconds_for(6, 1024) == pytest.approx(4.8 * 16)


def test_a_new_work_begins_with_the_prices_of_the_next_larger_one():
    """Too little sharing costs less than too much."""
    cheap, dear = {1: 1.0, 12: 2.0}, {1: 1.0, 12: 24.0}
    costs = Costs((Measured(64, cheap, 1), Measured(1024, dear, 1)))
    assert [costs.choose(Kind(work), (1, 12)) for work in (16, 64, 65, 1024, 4096)] == [12, 12, 1, 1, 1]


def test_passes_that_are_eager_have_prices_of_their_own():
    costs = Costs((Measured(64, {3: 1.0, 12: 1.5}, 1),))
    for _ in range(9):
        costs.observe(Kind(64, eager=True), 12, 24.0)
        costs.observe(Kind(64, eager=True), 3, 1.5)
    assert costs.choose(Kind(64), (3, 12)) == 12
    assert costs.known()[Kind(64, eager=True)] == {3: 1.5, 12: 24.0}
    assert costs.seconds_for(12, 64) == 1.5


def test_only_so_many_kinds_are_kept_and_the_measured_ones_always():
    costs = Costs((Measured(64, {3: 1.0}, 1),))
    for work in range(100, 400):
        for _ in range(2):
            costs.observe(Kind(work), 3, 1.0)
    known = costs.known()
    assert len(known) == 64 and Kind(64) in known and Kind(399) in known and Kind(100) not in known


def test_without_learning_nothing_changes():
    costs = Costs((Measured(64, {3: 1.0, 6: 1.5}, 1),), learning=False)
    for _ in range(100):
        assert costs.choose(Kind(64), COUNTS) == 6
        costs.observe(Kind(64), 6, 100.0)


def test_a_pass_has_at_most_as_many_rows_as_the_ladder_unless_one_request_has_more():
    costs = Costs((Measured(64, {1: 1.0, 48: 1.0}, 1),))
    assert costs.choose(Kind(64), (24, 48, 72)) == 48
    assert costs.choose(Kind(64), (60, 120)) == 60


def test_costs_are_asked_for_while_passes_are_served():
    """Other threads ask for facts and costs; every answer is whole."""
    costs = Costs((Measured(64, {1: 1.0}, 1),))
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            assert all(line["seconds"] for line in costs.as_facts())
            assert costs.seconds_for(3, 77) > 0

    with ThreadPoolExecutor() as threads:
        asking = [threads.submit(ask) for _ in range(2)]
        try:
            for number in range(3000):
                kind = Kind(64 + number % 100)
                costs.observe(kind, costs.choose(kind, COUNTS), 1.0)
        finally:
            done.set()
        for asked in asking:
            asked.result()


def test_the_start_takes_no_first_pass_for_a_price(stopwatch):
    family = TimedSketch(lambda rows, work: (0.001 + 0.0001 * rows) * work / 16)
    stopwatch(family)
    costs = measure(family, (16, 64), budget_bytes=1 << 40, seconds=60.0, clock=family.clock)
    small, large = costs.as_facts()
    assert small["seconds"] == {str(rows): round(0.001 + 0.0001 * rows, 6) for rows in LADDER}
    assert small["rows"] == large["rows"] == 48


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_the_start_keeps_to_its_time_however_slow_first_passes_are(stopwatch, seconds: float):
    family = TimedSketch(lambda rows, work: 0.01)
    stopwatch(family)
    costs = measure(family, (16, 64, 256), budget_bytes=1 << 40, seconds=seconds, clock=family.clock)
    firsts = len(family.warm)
    assert family.now - firsts * 1.0 <= seconds, "beside first passes"
    assert family.now <= seconds + 3 * 1.0 + 3 * 1.0, "every work's memory, and one shape more of each"
    assert [line["work"] for line in costs.as_facts()] == [16, 64, 256], "every work has a price of one row"
    assert all(line["seconds"]["1"] == 0.01 for line in costs.as_facts())


def test_a_work_that_takes_too_long_ends_the_start(stopwatch):
    family = TimedSketch(lambda rows, work: work / 64)
    stopwatch(family)
    costs = measure(family, (16, 64, 256), budget_bytes=1 << 40, seconds=2.0, clock=family.clock)
    assert [line["work"] for line in costs.as_facts()] == [16, 64]


def test_the_start_keeps_to_its_memory():
    network = Sketch()
    measure(network, (16, 64), budget_bytes=4 << 20, seconds=2.0)
    assert max(rows.latents.shape[0] for rows in network.passes) <= 4


def test_what_is_known_is_not_measured_again():
    network = Sketch()
    known = {Kind(16): {1: 1.0, 12: 2.0}, Kind(30, eager=True): {3: 5.0}}
    costs = measure(network, (16, 64), budget_bytes=1 << 40, seconds=1.0, known=known)
    assert [rows.latents.shape[0] for rows in network.passes if rows.latents.shape[2] == 4] == [1], (
        "its memory"
    )
    assert costs.known()[Kind(16)] == known[Kind(16)]
    assert costs.known()[Kind(30, eager=True)] == {3: 5.0}
    assert costs.choose(Kind(16), COUNTS) == 12
