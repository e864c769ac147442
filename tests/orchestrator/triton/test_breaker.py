"""Circuit breakers, on a clock that the test moves."""

from __future__ import annotations

import pytest

from intarsia.errors import ModelDown
from orchestrator.triton.breaker import Breaker, BreakerState

GONE = ModelDown("gone")
CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_is_closed_until_a_failure_and_after_a_success(clock: Clock) -> None:
    breaker = Breaker(clock)
    assert breaker.state is CLOSED and breaker.error is None
    breaker.fail(GONE)
    assert breaker.state is HALF_OPEN and breaker.error is GONE
    breaker.succeed()
    assert breaker.state is CLOSED and breaker.error is None


def test_one_probe_is_sent_at_a_time(clock: Clock) -> None:
    breaker = Breaker(clock)
    assert not breaker.start_probe()
    breaker.fail(GONE)
    assert breaker.start_probe() and not breaker.start_probe()
    breaker.abandon_probe()
    assert breaker.start_probe()


def test_the_pause_between_probes_doubles_up_to_two_seconds(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.fail(GONE)
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0):
        assert breaker.start_probe()
        breaker.fail(GONE)
        clock.now += 0.99 * pause
        assert breaker.state is OPEN and not breaker.start_probe()
        clock.now += 0.02 * pause
        assert breaker.state is HALF_OPEN
    breaker.succeed()
    breaker.fail(GONE)
    assert breaker.state is HALF_OPEN


def test_failures_of_older_requests_do_not_prolong_the_pause(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.fail(GONE)
    assert breaker.start_probe()
    breaker.fail(GONE)
    clock.now += 0.08
    breaker.fail(GONE)
    clock.now += 0.04
    assert breaker.state is HALF_OPEN
