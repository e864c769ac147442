"""Finished jobs: how many are kept, for how long, and what they hold."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from intarsia.errors import EmptyRegion, NotFound
from orchestrator.runs.run import Run
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Driver, Work, last


@pytest.mark.parametrize("how", ["fails", "is cancelled", "runs out of time"])
async def test_an_ended_job_holds_nothing_its_work_held(driver: Driver, how: str) -> None:
    class Pixels:
        pass

    held: list[weakref.ref[Pixels]] = []
    begun = asyncio.Event()

    async def work(request: Any, run: Run) -> Any:
        pixels = Pixels()
        held.append(weakref.ref(pixels))
        begun.set()
        try:
            if how == "fails":
                raise KeyError(pixels)
            await asyncio.Event().wait()
        except KeyError as error:
            raise EmptyRegion("nothing was found") from error

    jobs = driver(work)
    job = await jobs.submit(
        LOCAL, "EditRegion", "request", time_limit=0.05 if how == "runs out of time" else None
    )
    await begun.wait()
    if how == "is cancelled":
        await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).failure is not None
    gc.collect()
    assert held[0]() is None


async def test_finished_jobs_are_kept_up_to_a_number_and_an_age(driver: Driver) -> None:
    work = Work()
    work.let_go.set()
    jobs = driver(work, kept=2, fetched_within=0)
    names = []
    for n in range(4):
        names.append((await jobs.submit(LOCAL, "EditRegion", n, request_id=f"id {n}")).name)
        await last(jobs, names[-1])
    assert [job.name for job in (await jobs.list(LOCAL, size=10)).jobs] == [names[3], names[2]]
    with pytest.raises(NotFound, match="finished jobs are forgotten"):
        await jobs.get(LOCAL, names[0])
    assert (await jobs.submit(LOCAL, "EditRegion", 0, request_id="id 0")).name not in names

    brief = driver(work, kept_seconds=0)
    job = await brief.submit(LOCAL, "EditRegion", "request")
    await last(brief, job.name)
    assert (await brief.list(LOCAL, size=10)).jobs == ()


async def test_a_job_is_remembered_by_when_it_ended_and_for_a_while_in_any_case(driver: Driver) -> None:
    let_go = {"long": asyncio.Event(), "short": asyncio.Event(), "another": asyncio.Event()}

    async def work(request: Any, run: Run) -> Any:
        await let_go[request].wait()

    for fetched_within, forgotten in ((0, {"short"}), (300, set())):
        for event in let_go.values():
            event.clear()
        jobs = driver(work, kept=2, fetched_within=fetched_within)
        names = {request: (await jobs.submit(LOCAL, "EditRegion", request)).name for request in let_go}
        for request in ("short", "another", "long"):
            let_go[request].set()
            await last(jobs, names[request])
        known = {job.name for job in (await jobs.list(LOCAL, size=10)).jobs}
        assert {request for request, name in names.items() if name not in known} == forgotten
