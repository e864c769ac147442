"""The loop learns while it serves how many rows are best, by a clock of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from services.acceleration.passes import EagerPasses
from services.adapters.cache import AdapterCache
from services.denoising.costs import Costs, Kind, Measured, measure
from services.denoising.engine import Engine, EngineLimits
from services.denoising.family import BatchRow, Request
from tests.services.denoising.doubles import Listener, Notes, request
from tests.services.denoising.timed_sketch import Seconds, TimedSketch

WORK, CLIENTS, BRANCHES = 16, 8, 3
KIND = Kind(WORK)
COUNTS = tuple(range(BRANCHES, CLIENTS * BRANCHES + 1, BRANCHES))
WITHIN = 0.95  # of the best rate


def launches(rows: int, work: int) -> float:
    """A machine that a small pass leaves idle: more rows cost next to nothing."""
    return 0.02 + 0.0001 * rows


def halves(rows: int, work: int) -> float:
    """Sharing pays, the less the more rows there are already."""
    return 0.004 + 0.001 * rows


def dearer(rows: int, work: int) -> float:
    """A machine that is busy with a single request."""
    return 0.001 * rows * (1 + 0.01 * rows)


def up_to_twelve(rows: int, work: int) -> float:
    """Sharing pays until memory gets slower."""
    return 0.004 + 0.0005 * rows + 0.0003 * max(rows - 12, 0) ** 2


def over_a_hump(rows: int, work: int) -> float:
    """Some rows are computed by another, slow algorithm."""
    return (0.02 if 6 <= rows <= 12 else 0.008) + 0.0001 * rows


def busy(rows: int, work: int) -> float:
    """Another process has the machine."""
    return 0.006 * rows * (1 + 0.02 * rows)


CURVES = (launches, halves, dearer, up_to_twelve, over_a_hump)


def best_rate(seconds: Seconds) -> float:
    """Rows per second with the best fixed number of rows."""
    return max(rows / seconds(rows, WORK) for rows in COUNTS)


class Machine:
    """Serves passes of whatever rows are chosen, while all clients always wait."""

    def __init__(self, seconds: Seconds, costs: Costs, *, first: float = 1.0) -> None:
        self.seconds, self.costs, self._first = seconds, costs, first
        self._warm: set[int] = set()

    def serve(self, passes: int) -> float:
        """The rows per second of so many passes, without the first ones of their shape."""
        total = spent = 0.0
        for _ in range(passes):
            rows = self.costs.choose(KIND, COUNTS)
            took = self.seconds(rows, WORK)
            if rows in self._warm:
                total, spent = total + rows, spent + took
            self.costs.observe(KIND, rows, took * (1 if rows in self._warm else self._first))
            self._warm.add(rows)
        return total / spent


def told(prices: dict[int, float]) -> Costs:
    return Costs((Measured(WORK, prices, 1),))


@pytest.mark.parametrize("first", [1.0, 100.0])
@pytest.mark.parametrize("seconds", CURVES)
def test_the_best_rows_are_found_from_the_price_of_one(seconds: Seconds, first: float):
    machine = Machine(seconds, told({1: seconds(1, WORK)}), first=first)
    machine.serve(100)
    assert machine.serve(100) >= WITHIN * best_rate(seconds)


MISLEADING = {3: 1.0, 24: 0.001}  # names the wrong number, and hides the best between two others


@pytest.mark.parametrize("first", [1.0, 20.0])
@pytest.mark.parametrize(
    "wrong",
    [
        {1: 0.025, 2: 0.149, 3: 0.070},
        {1: 0.004, 3: 0.006, 6: 0.6, 9: 0.9, 12: 2.0, 24: 9.0},
        MISLEADING,
    ],
)
@pytest.mark.parametrize("seconds", CURVES)
def test_wrong_prices_are_corrected(seconds: Seconds, wrong: dict[int, float], first: float):
    machine = Machine(seconds, told(wrong), first=first)
    # What slow first passes of trials cost is earned first; most trials here are free, as they are larger.
    machine.serve(3000 if wrong is MISLEADING and first > 1 else 100)
    assert machine.serve(100) >= WITHIN * best_rate(seconds)


@pytest.mark.parametrize(
    ("one", "other", "passes"), [(halves, busy, 200), (busy, launches, 1200), (up_to_twelve, dearer, 1200)]
)
@pytest.mark.parametrize("after", [50, 1000, 5000])
def test_prices_follow_a_machine_that_another_process_takes_and_leaves(
    one: Seconds, other: Seconds, passes: int, after: int
):
    """Soon where the cheapest row then takes another time by half, else when the next trial is due."""
    machine = Machine(one, told({1: one(1, WORK)}), first=100.0)
    for seconds in (one, other, one):
        machine.seconds = seconds
        machine.serve(min(passes, after + 200))
        assert machine.serve(200) >= WITHIN * best_rate(seconds)
        machine.serve(after)


def test_passes_that_get_faster_once_they_were_served_a_few_times_are_noticed():
    """As when passes of a known shape are replayed instead of launched anew."""
    served: dict[int, int] = {}

    def replayed(rows: int, work: int) -> float:
        served[rows] = served.get(rows, 0) + 1
        return 0.024 if served[rows] < 4 else 0.006 + 0.0002 * rows

    machine = Machine(replayed, told({1: 0.024}), first=20.0)
    machine.serve(400)
    assert machine.serve(100) >= WITHIN * best_rate(lambda rows, work: 0.006 + 0.0002 * rows)


@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    fixed=st.floats(0.0, 0.05),
    per_row=st.floats(1e-4, 1e-2),
    bend=st.floats(0.0, 0.05),
    factors=st.dictionaries(st.sampled_from((1, *COUNTS)), st.floats(0.02, 50.0)),
)
@example(fixed=0.0084, per_row=0.008, bend=0.0455, factors={24: 25.0})  # little is gained by another number
@example(fixed=0.0496, per_row=0.0079, bend=0.044, factors={3: 0.1, 6: 8.7, 12: 5.0, 24: 0.057})
@example(fixed=0.0414, per_row=0.005, bend=0.0405, factors={1: 34, 3: 0.0415, 6: 5.5, 21: 44, 24: 0.054})
def test_from_any_prices_the_best_rows_are_found(
    fixed: float, per_row: float, bend: float, factors: dict[int, float]
):
    def seconds(rows: int, work: int) -> float:
        return fixed + per_row * rows * (1 + bend * rows)

    wrong = {rows: seconds(rows, WORK) * factor for rows, factor in factors.items()}
    machine = Machine(seconds, told(wrong or {1: seconds(1, WORK)}))
    machine.serve(300)
    assert machine.serve(300) >= WITHIN * best_rate(seconds)


@pytest.mark.parametrize("seconds", CURVES)
def test_trials_cost_little_time_however_slow_first_passes_are(seconds: Seconds):
    """In the long run; the first passes of larger rungs, which are tried at once, are left out."""
    costs, warm = told({rows: seconds(rows, WORK) for rows in COUNTS}), set(COUNTS[1:])
    for rows in COUNTS:  # all but the smallest were served before
        for _ in range(2 if rows in warm else 0):
            costs.observe(KIND, rows, seconds(rows, WORK))
    spent = needed = 0.0
    for _ in range(20_000):
        rows = costs.choose(KIND, COUNTS)
        took = seconds(rows, WORK) * (1 if rows in warm else 100)
        costs.observe(KIND, rows, took)
        warm.add(rows)
        spent, needed = spent + took, needed + rows / best_rate(seconds)
    assert spent <= 1.05 * needed


def test_trials_of_ever_new_shapes_cost_little_time_however_slow_first_passes_are():
    """Only what the first passes of trials cost: the cheapest number has one too, with every shape."""
    costs, warm = told({rows: launches(rows, WORK) for rows in COUNTS}), set()
    for rows in COUNTS:
        for _ in range(2):
            costs.observe(KIND, rows, launches(rows, WORK))
    lost = needed = 0.0
    for number in range(20_000):
        shape = number // 40
        rows = costs.choose(KIND, COUNTS, shape)
        took = launches(rows, WORK) * (1 if (shape, rows) in warm else 100)
        costs.observe(KIND, rows, took, shape)
        warm.add((shape, rows))
        due = rows / best_rate(launches)
        needed, lost = needed + due, lost + (took - due) * (rows != COUNTS[-1])
    assert lost <= 0.05 * needed


def test_a_trial_that_would_take_longer_than_a_second_is_not_made():
    costs = told({rows: 0.2 * rows for rows in COUNTS})
    for _ in range(200):
        rows = costs.choose(KIND, COUNTS)
        assert rows * 0.2 <= 1.0
        costs.observe(KIND, rows, 0.2 * rows)


class Client(Listener):
    """Sends the same request again whenever it is done, and notes in which passes it stepped."""

    def __init__(self, loop: Loop, wanted: Request) -> None:
        super().__init__()
        self._loop, self._wanted = loop, wanted
        self.stepped_at = [loop.number]
        loop.engine.admit(wanted, self)

    def progress(self, *_: object) -> None:
        self.stepped_at.append(self._loop.number)

    def finish(self, *_: object) -> None:
        self.stepped_at.append(self._loop.number)
        self._loop.engine.admit(self._wanted, self)

    def most_turns(self) -> int:
        """The most passes from one step to the next."""
        return max(later - earlier for earlier, later in itertools.pairwise(self.stepped_at))


class Loop:
    """An engine in a closed loop with clients."""

    def __init__(self, family: TimedSketch, costs: Costs, requests: list[Request]) -> None:
        self.family, self.number = family, 0
        adapters = AdapterCache(family.network, 0)
        limits, passes = EngineLimits(memory=1 << 40), EagerPasses(family.network)
        self.engine = Engine(family, costs, limits, Notes(), adapters, passes, family.clock)
        self.clients = [Client(self, wanted) for wanted in requests]

    def serve(self, passes: int) -> float:
        """The rows per second of so many passes, without the first ones of their shape."""
        rows = seconds = 0.0
        for _ in range(passes):
            self.number += 1
            self.engine.step()
            had, took, cold = self.family.last
            rows, seconds = rows + had * (not cold), seconds + took * (not cold)
        return rows / seconds


def assert_nobody_starved(loop: Loop) -> None:
    assert max(client.most_turns() for client in loop.clients) <= len(loop.clients)


def test_the_loop_finds_the_best_rows_however_slow_first_passes_are():
    family = TimedSketch(halves)
    costs = measure(family, (WORK,), budget_bytes=1 << 40, seconds=0.5, clock=family.clock)
    loop = Loop(family, costs, [request(n, steps=5, branches=BRANCHES) for n in range(CLIENTS)])
    loop.serve(50)
    assert loop.serve(50) >= WITHIN * best_rate(halves)
    assert_nobody_starved(loop)


def test_the_loop_follows_when_another_process_takes_the_machine_and_leaves_again():
    family = TimedSketch(halves)
    loop = Loop(family, told({1: 0.005}), [request(n, steps=5, branches=BRANCHES) for n in range(CLIENTS)])
    loop.serve(50)
    for seconds in (busy, halves):
        family.seconds = seconds
        loop.serve(100)
        assert loop.serve(50) >= WITHIN * best_rate(seconds)
    assert_nobody_starved(loop)


def test_requests_of_every_size_get_their_turns_while_prices_are_learnt():
    family = TimedSketch(lambda rows, work: (0.004 + 0.001 * rows) * work / WORK)
    requests = [
        request(n, steps=2 + n, side=(4, 4, 5, 8)[n % 4], branches=1 + n % 3, reproducible=n == 6)
        for n in range(12)
    ]
    loop = Loop(family, told({1: 0.005}), requests)
    loop.serve(200)
    assert_nobody_starved(loop)


class Fragile(TimedSketch):
    """A network whose larger passes fail."""

    failed = 0

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        if len(rows) > 6:
            self.failed += 1
            raise RuntimeError("no memory is left")
        return super().predict(rows)


def test_a_pass_that_fails_is_not_tried_again_soon():
    family = Fragile(launches)
    loop = Loop(family, told({1: 0.02}), [])
    for _ in range(20):
        for seed in range(4):
            loop.engine.admit(request(seed, steps=3, branches=3), Listener())
        while loop.engine.step():
            pass
    assert 1 <= family.failed <= 2, "once for each of two rungs"
