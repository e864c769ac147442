"""A job that asked for a watcher ends when nobody watches it; nothing else ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from intarsia.errors import Cancelled
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import NewJob
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.listeners import Listeners
from orchestrator.jobs.watch_leases import WatchLeases
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, Work, last


class Leases:
    """The checks of one orchestrator after the other, second by second, of a job with a lease of 10 s."""

    NAME = "jobs/1"

    def __init__(self, database: Database, time: list[float]) -> None:
        self.ledger, self.listeners, self._time = Ledger(database), Listeners(), time
        self.start_anew()

    def start_anew(self) -> None:
        """Another process takes over."""
        self.checks = WatchLeases(self.ledger, self.listeners)

    def away(self, seconds: float) -> None:
        """Time passes without a check."""
        self._time[0] += seconds

    async def lasts(self, most: int = 100) -> int:
        """The seconds until the job is cancelled, with a check in each."""
        for second in range(most):
            await self.checks.check()
            if (await self.ledger.get("me", self.NAME)).state.is_final:
                return second
            self._time[0] += 1
        return most


def job(name: str, *, watched_within: float) -> NewJob:
    return NewJob(
        name=name, caller="me", method="EditRegion", request="{}", sent="a", watched_within=watched_within
    )


@pytest.fixture
async def leases(tmp_path: Path) -> AsyncIterator[Leases]:
    time = [1e9]
    database = await Database.open(f"sqlite:///{tmp_path}/jobs.sqlite", clock=lambda: time[0])
    made = Leases(database, time)
    await made.ledger.submit(job(Leases.NAME, watched_within=10.0))
    yield made
    await database.close()


async def test_a_job_that_nobody_watches_is_cancelled_after_its_lease(leases: Leases):
    assert await leases.lasts() == 11


async def test_a_job_that_is_watched_goes_on_until_a_lease_after_the_last_watcher(leases: Leases):
    with leases.listeners.listen(Leases.NAME):
        assert await leases.lasts(50) == 50
    assert await leases.lasts() == 11


@pytest.mark.parametrize("second", range(10))
async def test_a_glance_grants_a_full_lease_at_any_time(leases: Leases, second: int):
    assert await leases.lasts(second) == second
    leases.checks.note(Leases.NAME)
    assert await leases.lasts() == 11


async def test_time_in_which_nobody_answered_does_not_count(leases: Leases):
    assert await leases.lasts(9) == 9
    leases.away(3600)
    assert await leases.lasts() == 11


async def test_a_clock_that_is_set_back_grants_a_full_lease(leases: Leases):
    assert await leases.lasts(9) == 9
    leases.away(-3600)
    assert await leases.lasts() == 11


async def test_a_restart_grants_a_full_lease(leases: Leases):
    assert await leases.lasts(9) == 9
    leases.start_anew()
    assert await leases.lasts() == 11


async def test_jobs_that_nobody_watches_keep_no_other_from_being_renewed(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
):
    """A check cancels a few; each is a commit."""
    monkeypatch.setattr("orchestrator.jobs.watch_leases._MOST_CANCELLED", 2)
    for n in range(4):
        await leases.ledger.submit(job(f"jobs/unwatched-{n}", watched_within=5.0))
    with leases.listeners.listen(Leases.NAME):
        assert await leases.lasts(6) == 6
        for left in (2, 0, 0):
            await leases.lasts(1)
            found = await leases.ledger.list("me")
            assert [one.state for one in found].count(State.QUEUED) == left + 1


async def test_who_begins_to_watch_during_a_check_keeps_the_job(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
):
    assert await leases.lasts(11) == 11
    read = leases.ledger.watch_leases

    async def read_slowly(**options: Any) -> Any:
        found = await read(**options)
        leases.checks.note(Leases.NAME)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(leases.ledger, "watch_leases", read_slowly)
        assert await leases.lasts(1) == 1
    assert await leases.lasts() == 11


async def test_a_running_job_is_stopped_and_says_why(driver: Drivers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orchestrator.jobs.worker.CHECK_SECONDS", 0.02)
    work = Work()
    jobs = await driver(work)
    watched, unwatched, free = [
        await jobs.submit(LOCAL, "EditRegion", str(n), watched_within=lease)
        for n, lease in enumerate((0.3, 0.3, None))
    ]
    await work.has_begun(3)
    states = jobs.watch(LOCAL, watched.name)
    assert (await anext(states)).name == watched.name
    await work.has_stopped.wait()
    ended = await last(jobs, unwatched.name)
    assert ended.state is State.CANCELLED and isinstance(ended.failure, Cancelled)
    assert "nobody had watched it for 0.3 s" in ended.failure.message
    assert work.stopped == ["1"]
    assert (await jobs.get(LOCAL, watched.name)).state is State.RUNNING
    work.let_go.set()
    *_, done = [job async for job in states]
    assert done.state is (await last(jobs, free.name)).state is State.SUCCEEDED
