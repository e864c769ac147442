"""Watchers' leases in the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.entry import WatchLease, Wish
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.clock import Clock
from tests.orchestrator.jobs.ledger.conftest import claim, job


async def leased(ledger: Ledger, **more: Any) -> str:
    new = job(watched_within=30.0, **more)
    await ledger.submit(new)
    return new.name


async def leases(ledger: Ledger) -> dict[str, float]:
    """What is left of each lease."""
    now, found = await ledger.watch_leases(below=2)
    assert all(isinstance(lease, WatchLease) and lease.within == 30 for lease in found)
    return {lease.name: pytest.approx(lease.until - now, abs=0.5) for lease in found}


async def test_only_jobs_that_asked_for_a_lease_have_one(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    await ledger.submit(job())
    clock.move(10)
    assert await leases(ledger) == {name: 20}


async def test_a_renewal_grants_a_full_lease(ledger: Ledger, clock: Clock):
    names, without = [await leased(ledger) for _ in range(2)], job()
    await ledger.submit(without)
    clock.move(10)
    await ledger.renew_watch_leases([names[0], without.name])
    assert await leases(ledger) == {names[0]: 30, names[1]: 20}
    await ledger.renew_watch_leases(None)
    assert await leases(ledger) == dict.fromkeys(names, 30)


async def test_leases_of_which_enough_is_left_are_not_read(ledger: Ledger, clock: Clock):
    names = [await leased(ledger) for _ in range(2)]
    clock.move(12)
    assert (await ledger.watch_leases(below=0.5))[1] == []
    await ledger.renew_watch_leases(names[1:])
    clock.move(4)
    _, found = await ledger.watch_leases(below=0.5)
    assert [lease.name for lease in found] == names[:1]
    clock.move(20)
    _, found = await ledger.watch_leases(below=0.5)
    assert [lease.name for lease in found] == names, "those first that run out first"


async def test_a_waiting_job_that_nobody_watches_is_cancelled_at_once(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    clock.move(31)
    await ledger.cancel_unwatched(name, '{"why": "unwatched"}')
    found = await ledger.get("me", name)
    assert (found.state, found.failure) == (State.CANCELLED, '{"why": "unwatched"}')
    assert await ledger.waiting() == 0 and await leases(ledger) == {}


async def test_one_that_runs_is_cancelled_by_its_owner(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    hold, entry = await claim(ledger, name, lease=600)
    assert entry.watched_within == 30
    clock.move(31)
    await ledger.cancel_unwatched(name, "{}")
    assert await ledger.renew([hold], 600) == {hold: Wish.UNWATCHED}
    assert await leases(ledger) == {}
    assert (await ledger.hand_back(hold, spent=1)).wanted is Wish.UNWATCHED


async def test_a_wish_of_the_caller_to_cancel_stays(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    hold, _ = await claim(ledger, name, lease=600)
    await ledger.want("me", name, Wish.KEEP_PARTIAL)
    clock.move(31)
    await ledger.cancel_unwatched(name, "{}")
    assert await ledger.renew([hold], 600) == {hold: Wish.KEEP_PARTIAL}


async def test_a_lease_that_was_renewed_in_the_meantime_keeps_the_job(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    clock.move(29)
    await ledger.cancel_unwatched(name, "{}")
    assert (await ledger.get("me", name)).state is State.QUEUED


async def test_a_job_that_has_ended_has_no_lease_and_gets_none_by_a_retry(ledger: Ledger, clock: Clock):
    name = await leased(ledger)
    hold, _ = await claim(ledger, name, lease=600)
    await ledger.end(hold, State.FAILED, spent=1, failure="{}")
    assert await leases(ledger) == {}
    await ledger.retry("me", name)
    clock.move(600)
    await ledger.cancel_unwatched(name, "{}")
    assert await leases(ledger) == {} and (await ledger.get("me", name)).state is State.QUEUED
