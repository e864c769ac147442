"""Draining: jobs at the end of the process, and with the next one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from intarsia.errors import Busy, InternalError, ModelDown
from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.ledger_jobs import LedgerJobs
from orchestrator.jobs.worker import WorkLimits
from orchestrator.runs.run import Run
from orchestrator.stages.memory import Memory
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, Work, last, reaches, states

SAME = "same.sqlite"


async def test_a_drained_driver_finishes_what_runs_and_takes_nothing_new(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(2)]
    await work.has_begun(1)
    draining = asyncio.ensure_future(jobs.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(ModelDown, match="shutting down"):
        await jobs.submit(LOCAL, "EditRegion", "late")
    work.let_go.set()
    assert await draining
    assert await states(jobs, names) == [State.SUCCEEDED, State.QUEUED]


async def test_what_cannot_finish_in_time_is_done_by_the_next_process(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1, file=SAME)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(3)]
    await work.has_begun(1)
    assert not await driver.end(jobs, grace=0.05)
    assert work.stopped == ["0"]
    work.let_go.set()
    jobs = await driver(work, running=1, file=SAME)
    ends = [await last(jobs, name) for name in names]
    assert [job.state for job in ends] == [State.SUCCEEDED] * 3
    assert [job.attempt for job in ends] == [2, 1, 1]
    assert await work.has_begun(3) == ["0", "1", "2"], "in their order"


async def test_jobs_of_a_process_that_died_go_on_at_once(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, file=SAME)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)
    await driver.die(jobs)
    work.let_go.set()
    jobs = await driver(work, file=SAME)
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and done.attempt == 2


async def test_jobs_of_a_process_that_died_go_on_once_the_database_lets_them(
    driver: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    jobs = await driver(work, file=SAME)
    name = (await jobs.submit(LOCAL, "EditRegion", "request")).name
    await work.has_begun(1)
    await driver.die(jobs)
    take_back, refusals = Ledger.take_back_all, iter([Busy("the disk is full")])

    async def refused_at_first(ledger: Ledger) -> tuple[str, ...]:
        for refusal in refusals:
            raise refusal
        return await take_back(ledger)

    monkeypatch.setattr(Ledger, "take_back_all", refused_at_first)
    jobs = await driver(work, file=SAME)
    work.let_go.set()
    done = await last(jobs, name)
    assert done.state is State.SUCCEEDED and done.attempt == 2


@pytest.mark.parametrize("limits, times", [(WorkLimits(), 10), (WorkLimits(interruptions=2), 2)])
async def test_a_job_that_ends_its_process_again_and_again_fails(
    driver: Drivers, limits: WorkLimits, times: int
) -> None:
    work = Work()
    jobs = await driver(work, file=SAME, work_limits=limits)
    name = (await jobs.submit(LOCAL, "EditRegion", "request")).name
    for _ in range(times):
        await work.has_begun(1)
        await driver.die(jobs)
        jobs = await driver(work, file=SAME, work_limits=limits)
    failed = await last(jobs, name)
    assert isinstance(failed.failure, InternalError)
    assert f"its last {times} attempts" in failed.failure.message
    assert work.begun.empty(), "it was not begun once more"
    work.let_go.set()
    await jobs.retry(LOCAL, name)
    assert (await last(jobs, name)).state is State.SUCCEEDED


@pytest.mark.parametrize("kind", Kind)
async def test_a_server_that_is_stopped_again_and_again_fails_no_job(driver: Drivers, kind: Kind) -> None:
    work = Work()
    jobs = await driver(work, file=SAME)
    name = (await jobs.submit(LOCAL, "EditRegion", "request", kind=kind)).name
    for _ in range(11):
        await work.has_begun(1)
        await driver.end(jobs)
        jobs = await driver(work, file=SAME)
    entry = await driver.ledger(jobs).get(LOCAL.name, name)
    assert entry.interruptions == 0
    work.let_go.set()
    assert (await last(jobs, name)).state is State.SUCCEEDED


async def test_a_batch_job_is_handed_back_at_its_next_point(driver: Drivers) -> None:
    points, seen = asyncio.Queue[str](), []

    async def piecewise(request: Any, run: Run, memory: Memory) -> Any:
        for n in range(3):
            if await memory.recall(str(n)) is None:
                seen.append(n)
                await points.get()
                await memory.remember(str(n), "1", [])
        return request

    jobs = await driver(piecewise, file=SAME)
    job = await jobs.submit(LOCAL, "TrackRegion", "request", kind=Kind.BATCH)
    await reaches(jobs, job.name, State.RUNNING)
    draining = asyncio.ensure_future(driver.end(jobs, grace=30))
    await asyncio.sleep(0)
    points.put_nowait("first")
    assert not await draining
    for _ in range(3):
        points.put_nowait("more")
    jobs = await driver(piecewise, file=SAME)
    assert (await last(jobs, job.name)).state is State.SUCCEEDED
    assert seen == [0, 1, 2], "no piece is made twice"


async def test_who_watches_a_job_is_told_that_the_server_has_shut_down(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)

    async def watching(jobs: LedgerJobs) -> list[State]:
        return [each.state async for each in jobs.watch(LOCAL, job.name)]

    watcher = asyncio.ensure_future(watching(jobs))
    await asyncio.sleep(0)
    await jobs.drain(0)
    with pytest.raises(ModelDown, match="the job goes on"):
        await watcher


async def test_a_job_whose_model_goes_with_the_server_does_not_fail(driver: Drivers) -> None:
    model_is_down = asyncio.Event()

    async def needs_a_model(request: Any, run: Run, memory: Memory) -> Any:
        await model_is_down.wait()
        raise ModelDown("the model is out of reach")

    jobs = await driver(needs_a_model)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await reaches(jobs, job.name, State.RUNNING)
    draining = asyncio.ensure_future(jobs.drain(30))
    await asyncio.sleep(0)
    model_is_down.set()
    assert not await draining
    assert await states(jobs, [job.name]) == [State.QUEUED]
