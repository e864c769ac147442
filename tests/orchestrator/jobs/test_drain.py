"""Draining: jobs at the end of the process."""

from __future__ import annotations

import asyncio

import pytest

from intarsia.errors import ModelDown
from orchestrator.jobs.job import State
from orchestrator.runs.needs import Needs
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Driver, Work, states


async def test_a_drained_driver_finishes_what_it_has_and_takes_nothing_new(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(2)]
    await work.begun.get()
    draining = asyncio.ensure_future(jobs.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(ModelDown, match="shutting down"):
        await jobs.submit(LOCAL, "EditRegion", "late")
    work.let_go.set()
    assert await draining
    assert [(await jobs.get(LOCAL, name)).state for name in names] == [State.SUCCEEDED] * 2


@pytest.mark.parametrize("grace", [0, 5])
async def test_jobs_that_wait_for_memory_are_drained_too(driver: Driver, grace: float) -> None:
    work = Work()
    if grace:
        work.let_go.set()
    jobs = driver(work, memory=100)
    names = [
        (await jobs.submit(LOCAL, "EditRegion", n, needs=Needs(memory))).name
        for n, memory in enumerate((60, 500, 70))
    ]
    assert await jobs.drain(grace) is bool(grace)
    end = State.SUCCEEDED if grace else State.FAILED
    assert await states(jobs, names) == [end] * 3


async def test_a_job_that_cannot_finish_in_time_fails_with_the_reason(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    running, waiting = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(2)]
    await work.begun.get()
    assert not await jobs.drain(0.05)
    for name in (running, waiting):
        job = await jobs.get(LOCAL, name)
        assert job.state is State.FAILED and isinstance(job.failure, ModelDown)
        assert "shut down" in job.failure.message
