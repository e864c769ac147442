"""Attempts: steered by the caller, lost to another owner, and with a database that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import update

from intarsia.errors import Cancelled, ModelDown, NotReady, TimeLimit
from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.entry import ClaimableJob
from orchestrator.jobs.worker import WorkLimits
from orchestrator.runs.run import Progress, Run
from orchestrator.stages.memory import Memory
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, Work, last, reaches, states

SAME = "same.sqlite"


class Pieces:
    """A recipe of three pieces, each made when it is let go and remembered then."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.let_go: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, request: Any, run: Run, memory: Memory) -> Any:
        for piece in "abc":
            if await memory.recall(piece) is None:
                self.begun.put_nowait(piece)
                await self.let_go.get()
                self.made.append(piece)
                await memory.remember(piece, '"made"', [])
        return request

    async def partial(self, request: Any, run: Run, memory: Memory) -> Any:
        return "".join([piece for piece in "abc" if await memory.recall(piece) is not None]) or None


async def test_a_paused_job_stops_at_its_next_point_and_goes_on_from_there(driver: Drivers) -> None:
    pieces = Pieces()
    jobs = await driver(pieces)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await pieces.begun.get()
    assert (await jobs.pause(LOCAL, job.name)).state is State.RUNNING
    pieces.let_go.put_nowait(None)
    await reaches(jobs, job.name, State.PAUSED)
    await driver.settled(jobs)
    assert await states(jobs, [job.name]) == [State.PAUSED]
    await jobs.resume(LOCAL, job.name)
    for _ in "bc":
        pieces.let_go.put_nowait(None)
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and pieces.made == ["a", "b", "c"]


async def test_a_pause_that_is_taken_back_in_time_changes_nothing(driver: Drivers) -> None:
    pieces = Pieces()
    jobs = await driver(pieces)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await pieces.begun.get()
    await jobs.pause(LOCAL, job.name)
    await jobs.resume(LOCAL, job.name)
    for _ in "abc":
        pieces.let_go.put_nowait(None)
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and done.attempt == 1


async def test_a_failed_job_is_retried_from_the_last_good_point(driver: Drivers) -> None:
    pieces = Pieces()
    breaks = True

    async def once_broken(request: Any, run: Run, memory: Memory) -> Any:
        done = await pieces(request, run, memory)
        if breaks:
            raise ModelDown("the stream broke")
        return done

    jobs = await driver(once_broken)
    for _ in "abc":
        pieces.let_go.put_nowait(None)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    assert isinstance((await last(jobs, job.name)).failure, ModelDown)
    breaks = False
    await jobs.retry(LOCAL, job.name)
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and done.failure is None and pieces.made == ["a", "b", "c"]


@pytest.mark.parametrize(("pieces_made", "result"), [(0, None), (2, "ab")])
async def test_a_cancelled_job_may_keep_what_is_finished(
    driver: Drivers, pieces_made: int, result: str | None
) -> None:
    pieces = Pieces()
    jobs = await driver(pieces, partial=pieces.partial)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    for _ in range(pieces_made):
        pieces.let_go.put_nowait(None)
    for _ in range(pieces_made + 1):
        await pieces.begun.get()
    await jobs.cancel(LOCAL, job.name, keep_partial=True)
    ended = await last(jobs, job.name)
    assert ended.state is State.CANCELLED and isinstance(ended.failure, Cancelled)
    assert ended.result == result


async def test_running_time_counts_over_all_attempts(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, file=SAME)
    job = await jobs.submit(LOCAL, "EditRegion", "request", time_limit=0.6)
    await work.has_begun(1)
    await asyncio.sleep(0.4)
    await driver.end(jobs)
    jobs = await driver(work, file=SAME)
    began = asyncio.get_running_loop().time()
    failed = await last(jobs, job.name)
    assert isinstance(failed.failure, TimeLimit) and "0.6 s" in failed.failure.message
    assert asyncio.get_running_loop().time() - began < 0.5, "only what was left"


async def test_a_job_that_another_owner_took_is_stopped_and_nothing_is_written(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, work_limits=WorkLimits(lease=0.3))
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.has_begun(1)
    ledger = driver.ledger(jobs)
    await ledger.take_back_all()

    def first(waiting: Sequence[ClaimableJob]) -> str:
        return waiting[0].name

    taken = await ledger.claim("another", 15, first)
    assert taken is not None and taken[1].name == job.name
    await asyncio.wait_for(work.has_stopped.wait(), 10)
    found = await jobs.get(LOCAL, job.name)
    assert found.state is State.RUNNING and found.attempt == 2
    await ledger.end(taken[0], State.SUCCEEDED, spent=1.0, result='"theirs"')
    assert (await last(jobs, job.name)).result == "theirs"


async def test_a_job_goes_on_while_the_database_is_away_and_its_end_is_written_later(driver: Drivers) -> None:
    pieces = Pieces()
    jobs = await driver(pieces, work_limits=WorkLimits(lease=0.15))
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await pieces.begun.get()
    database = driver.database(jobs)
    database.is_away = True
    waiting = asyncio.ensure_future(last(jobs, job.name))
    for _ in "abc":
        pieces.let_go.put_nowait(None)
    with pytest.raises(ModelDown, match="out of reach"):
        await jobs.submit(LOCAL, "EditRegion", "another")
    await database.refused(10)
    assert not waiting.done() and (await jobs.get(LOCAL, job.name)).state is State.RUNNING
    database.is_away = False
    done = await waiting
    assert done.state is State.SUCCEEDED and pieces.made == ["a", "b", "c"]
    again = await jobs.submit(LOCAL, "EditRegion", "another")
    for _ in "abc":
        pieces.let_go.put_nowait(None)
    assert (await last(jobs, again.name)).state is State.SUCCEEDED


@pytest.mark.parametrize("change", [{"version": 2}, {"methods": ("TrackRegion",)}])
async def test_a_job_whose_recipe_is_gone_fails_with_that_reason(
    driver: Drivers, change: dict[str, Any]
) -> None:
    work = Work()
    jobs = await driver(work, file=SAME)
    job = await jobs.submit(LOCAL, "EditRegion", "request", kind=Kind.BATCH)
    await work.has_begun(1)
    await driver.end(jobs)
    jobs = await driver(work, file=SAME, **change)
    failed = await last(jobs, job.name)
    assert failed.state is State.FAILED and isinstance(failed.failure, NotReady)
    assert "version 1 of EditRegion" in failed.failure.message


async def test_what_another_version_wrote_is_not_guessed_at(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1, file=SAME)
    work.let_go.set()
    await last(jobs, (await jobs.submit(LOCAL, "EditRegion", "done")).name)
    work.let_go.clear()
    waits = (await jobs.submit(LOCAL, "EditRegion", "waits")).name
    await work.has_begun(2)
    await driver.end(jobs)
    jobs = await driver(work, file=SAME, kind=int)
    failed = await last(jobs, waits)
    assert isinstance(failed.failure, NotReady) and "cannot read the request" in failed.failure.message
    listed = (await jobs.list(LOCAL, size=10)).jobs
    assert [job.result for job in listed] == [None] * 2


async def test_a_progress_that_cannot_be_read_stops_nothing(driver: Drivers) -> None:
    pieces = Pieces()
    jobs = await driver(pieces, running=0)
    name = (await jobs.submit(LOCAL, "EditRegion", "request")).name
    spoil = update(tables.jobs).values(progress='{"fraction": "half"}')
    await driver.database(jobs).run(lambda connection: connection.execute(spoil))
    assert [job.progress for job in (await jobs.list(LOCAL, size=10)).jobs] == [Progress()]
    for _ in "abc":
        pieces.let_go.put_nowait(None)
    driver.capacity(jobs).jobs["EditRegion"] = 1
    await driver.settled(jobs)
    assert (await last(jobs, name)).state is State.SUCCEEDED
