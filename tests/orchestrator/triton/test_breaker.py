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
    probe = breaker.start_probe()
    assert probe and not breaker.start_probe()
    breaker.abandon_probe(probe)
    assert breaker.start_probe()


def test_the_pause_between_probes_doubles_up_to_two_seconds(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.fail(GONE)
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0):
        probe = breaker.start_probe()
        assert probe
        breaker.fail_probe(probe, GONE)
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
    breaker.fail_probe(breaker.start_probe(), GONE)
    clock.now += 0.08
    breaker.fail(GONE)
    clock.now += 0.04
    assert breaker.state is HALF_OPEN


def test_the_failure_of_an_older_request_is_not_that_of_the_probe(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.fail(GONE)
    probe = breaker.start_probe()
    breaker.fail(ModelDown("gone for long"))
    assert breaker.state is HALF_OPEN and breaker.error is GONE
    assert not breaker.start_probe(), "the first probe is still under way"
    breaker.fail_probe(probe, GONE)
    clock.now += 0.11
    assert breaker.start_probe(), "the pause has not doubled"


def test_a_probe_counts_no_more_once_another_request_has_closed_it(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.fail(GONE)
    old = breaker.start_probe()
    breaker.succeed()
    breaker.fail_probe(old, GONE)
    assert breaker.state is CLOSED
    breaker.fail(GONE)
    new = breaker.start_probe()
    breaker.fail_probe(old, GONE)
    breaker.abandon_probe(old)
    assert breaker.state is HALF_OPEN and not breaker.start_probe(), "the new probe is still under way"
    breaker.fail_probe(new, GONE)
    assert breaker.state is OPEN
