"""A job that asked for a watcher ends when nobody watches it; nothing else ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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


@pytest.fixture
async def leases(tmp_path: Path) -> AsyncIterator[Leases]:
    time = [1e9]
    database = await Database.open(f"sqlite:///{tmp_path}/jobs.sqlite", clock=lambda: time[0])
    made = Leases(database, time)
    new = NewJob(
        name=Leases.NAME, caller="me", method="EditRegion", request="{}", sent="a", watched_within=10.0
    )
    await made.ledger.submit(new)
    yield made
    await database.close()


async def test_a_job_that_nobody_watches_is_cancelled_after_its_lease(leases: Leases):
    assert await leases.lasts() == 11


async def test_a_job_that_is_watched_goes_on_until_a_lease_after_the_last_watcher(leases: Leases):
    with leases.listeners.listen(Leases.NAME):
        assert await leases.lasts(50) == 50
    assert 6 <= await leases.lasts() <= 11, "a lease is renewed when a third of it is over"


async def test_a_glance_counts_as_watching(leases: Leases):
    assert await leases.lasts(9) == 9
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
