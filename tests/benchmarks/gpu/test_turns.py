"""Measurements in turns, and the budget that bounds them."""

from __future__ import annotations

import pytest

from benchmarks.gpu.turns import Budget, in_turns, settle


class Clock:
    """A clock that moves when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_there_is_always_one_round_and_then_as_many_as_there_is_time_for():
    clock = Clock()
    budget, taken = Budget(10.0, clock), []
    for number in budget.rounds(5, seconds=4.0):
        taken.append(number)
        clock.now += 2.0
    assert taken == [0, 1]
    clock.now += 100.0
    assert budget.left() == 0.0
    assert list(budget.rounds(5, seconds=4.0)) == [0]


def test_rounds_end_with_the_whole_budget_however_many_seconds_they_may_take():
    clock = Clock()
    taken = []
    for number in Budget(3.0, clock).rounds(9, seconds=60.0):
        taken.append(number)
        clock.now += 1.0
    assert taken == [0, 1, 2]


def test_ways_alternate_in_going_first():
    order: list[str] = []

    def way(name: str, figure: float):
        def once() -> float:
            order.append(name)
            return figure

        return once

    measured = in_turns({"a": way("a", 1.0), "b": way("b", 2.0)}, range(3))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert measured == {"a": [1.0] * 3, "b": [2.0] * 3}


@pytest.mark.parametrize(
    ("runs", "taken"), [([9.0, 3.0, 3.1, 3.0], 3), ([9.0, 5.0, 3.0, 1.0], 4), ([2.0], 1)]
)
def test_a_way_is_warm_when_two_runs_take_about_the_same(runs: list[float], taken: int):
    left = iter(runs)
    settle(lambda: next(left), range(len(runs)))
    assert len(list(left)) == len(runs) - taken
