"""Waiting for a model that is full or away."""

from __future__ import annotations

import pytest

from intarsia.errors import Busy, ModelDown
from orchestrator.deadline import Deadline
from orchestrator.models.admission import ModelQueue, Waiter, WaitLimits


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for a test to set; nothing waits."""
    now = [0.0]

    async def at_once(event: object, *, within: float) -> bool:
        return False

    monkeypatch.setattr("orchestrator.models.admission.time.monotonic", lambda: now[0])
    monkeypatch.setattr("orchestrator.models.admission.wait_event", at_once)
    return now


async def test_patience_with_an_absent_model_begins_when_it_goes_away(
    now: list[float],
) -> None:
    limits = WaitLimits(full=100, away=10)
    waiter = Waiter(ModelQueue(limits), limits, Deadline())
    await waiter.wait(Busy("no room"))
    now[0] = 60.0
    await waiter.wait(ModelDown("gone"))
    now[0] = 69.0
    await waiter.wait(ModelDown("gone"))
    now[0] = 70.0
    with pytest.raises(ModelDown):
        await waiter.wait(ModelDown("gone"))
    await waiter.wait(Busy("back, and full of those who were faster"))


async def test_a_model_that_changes_between_full_and_away_is_not_waited_for_without_end(
    now: list[float],
) -> None:
    limits = WaitLimits(full=100, away=10)
    waiter = Waiter(ModelQueue(limits), limits, Deadline())
    with pytest.raises(ModelDown):
        for _ in range(100):
            await waiter.wait(Busy("no room"))
            now[0] += 1
            await waiter.wait(ModelDown("gone"))
            now[0] += 1
    assert now[0] == 21
