"""Two drivers that share one queue in PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from intarsia.errors import Cancelled, ModelDown
from orchestrator.jobs.job import State
from orchestrator.jobs.worker import WorkLimits
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, Work, last, reaches
from tests.postgres import Postgres

SHORT, LONG = WorkLimits(lease=0.6), WorkLimits(lease=600)


@pytest.fixture
def url(postgres: Postgres) -> str:
    """The address of an empty database."""
    return postgres.create()


async def test_each_job_runs_once_wherever_there_is_a_place(driver: Drivers, url: str) -> None:
    works = Work(), Work()
    drivers = [await driver(work, running=2, url=url) for work in works]
    names = [(await drivers[n % 2].submit(LOCAL, "EditRegion", str(n))).name for n in range(10)]
    begun = [await work.has_begun(2) for work in works]
    assert sorted([*begun[0], *begun[1]]) == ["0", "1", "2", "3"]
    for work in works:
        work.let_go.set()
    for name in names:
        done = await last(drivers[0], name)
        assert done.state is State.SUCCEEDED and done.attempt == 1


async def test_a_job_is_watched_and_cancelled_from_another_driver(driver: Drivers, url: str) -> None:
    work = Work()
    here = await driver(work, url=url)
    there = await driver(work, running=0, url=url)
    job = await there.submit(LOCAL, "EditRegion", "request")
    await reaches(there, job.name, State.RUNNING)
    await there.cancel(LOCAL, job.name)
    await asyncio.wait_for(work.has_stopped.wait(), 10)
    for jobs in (here, there):
        ended = await last(jobs, job.name)
        assert ended.state is State.CANCELLED and isinstance(ended.failure, Cancelled)


async def test_the_jobs_of_a_dead_driver_are_taken_over_within_a_lease(driver: Drivers, url: str) -> None:
    work = Work()
    here = await driver(work, url=url, work_limits=SHORT)
    there = await driver(work, running=0, url=url, work_limits=SHORT)
    job = await there.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)
    watching = asyncio.ensure_future(last(there, job.name))
    await driver.die(here)
    driver.capacity(there).jobs["EditRegion"] = 4
    await asyncio.wait_for(work.has_begun(1), 10)
    work.let_go.set()
    done = await watching
    assert done.state is State.SUCCEEDED and done.attempt == 2


async def test_a_driver_that_was_frozen_finds_that_it_has_lost_its_job(driver: Drivers, url: str) -> None:
    works = Work(), Work()
    here = await driver(works[0], url=url, work_limits=SHORT)
    there = await driver(works[1], running=0, url=url, work_limits=SHORT)
    job = await there.submit(LOCAL, "EditRegion", "request")
    await works[0].has_begun(1)
    driver.ledger(here).thawed.clear()
    driver.capacity(there).jobs["EditRegion"] = 4
    await asyncio.wait_for(works[1].has_begun(1), 10)
    driver.ledger(here).thawed.set()
    await asyncio.wait_for(works[0].has_stopped.wait(), 10)
    works[1].let_go.set()
    for jobs in (here, there):
        done = await last(jobs, job.name)
        assert done.state is State.SUCCEEDED and done.attempt == 2


async def test_what_is_handed_back_goes_on_elsewhere_at_once(driver: Drivers, url: str) -> None:
    works = Work(), Work()
    here = await driver(works[0], url=url, work_limits=LONG)
    there = await driver(works[1], running=0, url=url, work_limits=LONG)
    job = await here.submit(LOCAL, "EditRegion", "request")
    await works[0].has_begun(1)
    driver.capacity(there).jobs["EditRegion"] = 1
    await driver.end(here)
    await asyncio.wait_for(works[1].has_begun(1), 10)
    works[1].let_go.set()
    assert (await last(there, job.name)).state is State.SUCCEEDED


@pytest.mark.usefixtures("postgres")  # skips where there is none
async def test_a_job_goes_on_while_the_database_restarts(driver: Drivers) -> None:
    work = Work()
    with Postgres(durable=True) as server:
        jobs = await driver(work, url=server.create())
        job = await jobs.submit(LOCAL, "EditRegion", "request")
        await work.has_begun(1)
        await asyncio.to_thread(server.stop, "immediate")
        with pytest.raises(ModelDown, match="out of reach"):
            await jobs.submit(LOCAL, "EditRegion", "another")
        work.let_go.set()
        await asyncio.to_thread(server.start)
        done = await last(jobs, job.name)
        assert done.state is State.SUCCEEDED and done.attempt == 1
        again = await jobs.submit(LOCAL, "EditRegion", "another")
        assert (await last(jobs, again.name)).state is State.SUCCEEDED
        await driver.end(jobs)
