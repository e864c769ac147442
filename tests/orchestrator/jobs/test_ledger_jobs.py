"""Jobs of a ledger: order, limits, cancel, time limits, failures, watching."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from intarsia.errors import Busy, Cancelled, EmptyRegion, InternalError, ModelDown, NotFound, TimeLimit
from orchestrator import logs
from orchestrator.caller import Caller
from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger.entry import Entry
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.worker import WorkLimits
from orchestrator.runs.needs import Needs
from orchestrator.runs.run import Run
from orchestrator.stages.memory import Memory
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import OTHER, Drivers, Numbers, Work, last, states


async def test_a_job_goes_from_its_queue_to_its_result(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    assert job.name.startswith("jobs/") and job.state is State.QUEUED
    await work.has_begun(1)
    assert (await jobs.get(LOCAL, job.name)).state is State.RUNNING
    work.let_go.set()
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and done.result == "request"
    assert done.progress.fraction == 1.0 and done.progress.remaining == 0.0
    assert done.started is not None and done.ended is not None
    assert done.created <= done.started <= done.ended


async def test_only_so_many_run_and_the_others_keep_their_order(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=2)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(5)]
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING] * 2 + [State.QUEUED] * 3
    work.let_go.set()
    for name in names:
        await last(jobs, name)
    assert [work.begun.get_nowait() for _ in range(5)] == list("01234")


async def test_more_run_when_the_capacity_grows_and_none_is_stopped_when_it_falls(driver: Drivers) -> None:
    work, capacity = Work(), Numbers(EditRegion=1)
    jobs = await driver(work, running=capacity)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(4)]
    capacity.jobs["EditRegion"] = 3
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING] * 3 + [State.QUEUED]
    capacity.jobs["EditRegion"] = 1
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING] * 3 + [State.QUEUED]
    for name in names[:2]:
        await jobs.cancel(LOCAL, name)
        await last(jobs, name)
    await driver.settled(jobs)
    assert await states(jobs, names[2:]) == [State.RUNNING, State.QUEUED]
    work.let_go.set()
    assert (await last(jobs, names[3])).state is State.SUCCEEDED


async def test_jobs_wait_for_memory_until_others_end_or_need_less(driver: Drivers) -> None:
    runs, let_go = asyncio.Queue[Run](), asyncio.Event()

    async def holds(request: Any, run: Run, memory: Memory) -> Any:
        runs.put_nowait(run)
        await let_go.wait()

    jobs = await driver(holds, memory=100)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n), needs=Needs(60))).name for n in range(3)]
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING, State.QUEUED, State.QUEUED]
    (await runs.get()).shrink(40)
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING, State.RUNNING, State.QUEUED]
    await jobs.cancel(LOCAL, names[1])
    await last(jobs, names[1])
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING, State.CANCELLED, State.RUNNING]
    let_go.set()
    assert (await last(jobs, names[2])).state is State.SUCCEEDED


async def test_a_cancelled_job_lets_those_go_that_waited_behind_it(driver: Drivers) -> None:
    jobs = await driver(Work(), memory=100)
    sizes = (60, 90, 10)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(size), needs=Needs(size))).name for size in sizes]
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING, State.QUEUED, State.QUEUED]
    await jobs.cancel(LOCAL, names[1])
    await driver.settled(jobs)
    assert await states(jobs, names) == [State.RUNNING, State.CANCELLED, State.RUNNING]


async def test_beyond_its_limit_the_server_is_busy(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1, waiting=2)
    for n in range(3):
        await jobs.submit(LOCAL, "EditRegion", str(n))
        await driver.settled(jobs)
    with pytest.raises(Busy, match="2 jobs are waiting already"):
        await jobs.submit(LOCAL, "EditRegion", "3")


async def test_a_job_is_found_by_its_own_caller_only(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    theirs = await jobs.submit(OTHER, "EditRegion", "another")
    for find in (jobs.get, jobs.cancel):
        with pytest.raises(NotFound, match="there is no job"):
            await find(OTHER, job.name)
    with pytest.raises(NotFound):
        await anext(jobs.watch(OTHER, job.name))
    await driver.settled(jobs)
    assert (await jobs.get(LOCAL, job.name)).state is State.RUNNING
    assert [one.name for one in (await jobs.list(LOCAL, size=10)).jobs] == [job.name]
    assert [one.name for one in (await jobs.list(OTHER, size=10)).jobs] == [theirs.name]
    assert (await jobs.list(Caller("third"), size=10)).jobs == ()


async def test_cancel_reaches_the_work_and_frees_the_place(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1)
    first = await jobs.submit(LOCAL, "EditRegion", "first")
    second = await jobs.submit(LOCAL, "EditRegion", "second")
    await work.has_begun(1)
    await jobs.cancel(LOCAL, first.name)
    cancelled = await last(jobs, first.name)
    assert cancelled.state is State.CANCELLED and isinstance(cancelled.failure, Cancelled)
    assert work.stopped == ["first"]
    assert await work.begun.get() == "second"
    assert (await jobs.get(LOCAL, second.name)).state is State.RUNNING


async def test_a_cancel_reaches_the_work_before_the_disk(
    driver: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, disk, want = Work(), asyncio.Event(), Ledger.want

    async def want_late(self: Ledger, *arguments: Any, **options: Any) -> Entry:
        await disk.wait()
        return await want(self, *arguments, **options)

    monkeypatch.setattr(Ledger, "want", want_late)
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)
    cancel = asyncio.ensure_future(jobs.cancel(LOCAL, job.name))
    assert (await last(jobs, job.name)).state is State.CANCELLED
    assert work.stopped == ["request"] and not cancel.done()
    disk.set()
    assert (await cancel).state is State.CANCELLED


async def test_a_waiting_job_is_cancelled_at_once_and_never_begins(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1)
    first = await jobs.submit(LOCAL, "EditRegion", "first")
    await work.has_begun(1)
    waiting = await jobs.submit(LOCAL, "EditRegion", "second")
    assert (await jobs.cancel(LOCAL, waiting.name)).state is State.CANCELLED
    work.let_go.set()
    await last(jobs, first.name)
    await driver.settled(jobs)
    assert work.begun.empty()


async def test_a_job_cancelled_before_its_work_began_has_an_end(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=Numbers(EditRegion=0))
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).state is State.CANCELLED
    assert work.begun.empty()


async def test_cancelling_a_finished_job_changes_nothing(driver: Drivers) -> None:
    work = Work()
    work.let_go.set()
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await last(jobs, job.name)
    assert (await jobs.cancel(LOCAL, job.name)).state is State.SUCCEEDED


async def test_a_job_whose_work_ignores_a_cancel_but_fails_is_still_cancelled(driver: Drivers) -> None:
    begun = asyncio.Event()

    async def stubborn(request: Any, run: Run, memory: Memory) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ModelDown("the stream broke") from None

    jobs = await driver(stubborn)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await begun.wait()
    await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).state is State.CANCELLED


async def test_time_runs_out_for_a_job_that_runs_and_not_for_one_that_waits(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1)
    first = await jobs.submit(LOCAL, "EditRegion", "first")
    await work.has_begun(1)
    job = await jobs.submit(LOCAL, "EditRegion", "second", time_limit=0.05)
    await asyncio.sleep(0.1)
    assert await states(jobs, [job.name]) == [State.QUEUED]
    await jobs.cancel(LOCAL, first.name)
    failed = await last(jobs, job.name)
    assert failed.state is State.FAILED and isinstance(failed.failure, TimeLimit)
    assert "0.05 s" in failed.failure.message


async def test_no_job_may_take_longer_than_the_server_allows(driver: Drivers) -> None:
    jobs = await driver(Work(), time_limit=0.05)
    job = await jobs.submit(LOCAL, "EditRegion", "request", time_limit=1000)
    assert isinstance((await last(jobs, job.name)).failure, TimeLimit)


async def test_a_batch_job_may_take_as_long_as_it_needs_unless_a_limit_is_set(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, time_limit=0.05, batch_time_limit=None)
    free = await jobs.submit(LOCAL, "TrackRegion", "request", kind=Kind.BATCH)
    asked = await jobs.submit(LOCAL, "TrackRegion", "request", kind=Kind.BATCH, time_limit=0.05)
    assert isinstance((await last(jobs, asked.name)).failure, TimeLimit)
    await driver.settled(jobs)
    assert await states(jobs, [free.name]) == [State.RUNNING]
    work.let_go.set()
    assert (await last(jobs, free.name)).state is State.SUCCEEDED
    work.let_go.clear()
    limited = await driver(work, batch_time_limit=0.05)
    job = await limited.submit(LOCAL, "TrackRegion", "request", kind=Kind.BATCH)
    assert isinstance((await last(limited, job.name)).failure, TimeLimit)


async def test_a_batch_job_that_makes_no_progress_is_ended(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, work_limits=WorkLimits(idle=0.1))
    interactive = await jobs.submit(LOCAL, "EditRegion", "request")
    batch = await jobs.submit(LOCAL, "EditRegion", "request", kind=Kind.BATCH)
    failed = await last(jobs, batch.name)
    assert isinstance(failed.failure, TimeLimit) and "no progress for 0.1 s" in failed.failure.message
    assert await states(jobs, [interactive.name]) == [State.RUNNING]


async def test_an_error_of_the_work_is_the_failure_of_the_job(driver: Drivers) -> None:
    async def fails(request: Any, run: Run, memory: Memory) -> Any:
        raise EmptyRegion("nothing was found", best_score=0.2)

    jobs = await driver(fails)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    failed = await last(jobs, job.name)
    assert failed.state is State.FAILED and isinstance(failed.failure, EmptyRegion)
    assert failed.failure.facts == {"best_score": "0.2"}


async def test_a_fault_goes_to_the_log_and_its_number_to_the_client(
    driver: Drivers, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(request: Any, run: Run, memory: Memory) -> Any:
        raise ZeroDivisionError("secret detail")

    jobs = await driver(faulty)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    failure = (await last(jobs, job.name)).failure
    assert isinstance(failure, InternalError)
    assert "secret" not in failure.message
    assert any(failure.facts["fault"] in line and "secret detail" in line for line in caplog.messages)


async def test_every_line_of_the_log_knows_its_job(driver: Drivers) -> None:
    seen = []

    async def notes(request: Any, run: Run, memory: Memory) -> Any:
        seen.append(logs.job.get())

    jobs = await driver(notes)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(3)]
    for name in names:
        await last(jobs, name)
    assert sorted(seen) == names and logs.job.get() == ""


async def test_watchers_hear_the_state_now_and_the_end_at_once(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)
    watching = jobs.watch(LOCAL, job.name)
    assert (await anext(watching)).state is State.RUNNING
    work.let_go.set()
    assert (await anext(watching)).state is State.SUCCEEDED
    assert [later async for later in watching] == []


async def test_many_changes_are_reported_together(driver: Drivers) -> None:
    finish = asyncio.Event()

    async def quick_steps(request: Any, run: Run, memory: Memory) -> Any:
        with run.stage("denoise") as work:
            for step in range(1000):
                work.stepped(step + 1, 1000)
                await asyncio.sleep(0)
        await finish.wait()

    jobs = await driver(quick_steps)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    began = time.monotonic()
    heard = []
    async for state in jobs.watch(LOCAL, job.name):
        heard.append(state.progress)
        if state.progress.step == 1000:
            finish.set()
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert len(heard) <= 10 * (time.monotonic() - began) + 2
