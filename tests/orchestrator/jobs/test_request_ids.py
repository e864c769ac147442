"""Repeats: a request id gives the same job to the same caller."""

from __future__ import annotations

import asyncio

import pytest

from intarsia.errors import Busy, InvalidRequest
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import ID, OTHER, Drivers, Work


async def test_a_repeated_request_id_gives_the_same_job(driver: Drivers) -> None:
    jobs = await driver(Work())
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    again = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    assert again.name == first.name
    with pytest.raises(InvalidRequest) as caught:
        await jobs.submit(LOCAL, "EditRegion", "another", request_id=ID)
    assert caught.value.field == "request_id"


async def test_a_repeat_is_known_by_what_was_sent_and_not_by_what_it_was_resolved_to(driver: Drivers) -> None:
    jobs = await driver(Work())
    assert await jobs.repeated(LOCAL, "EditRegion", "sent", request_id=ID) is None
    first = await jobs.submit(LOCAL, "EditRegion", "sent, with seed 5", original="sent", request_id=ID)
    again = await jobs.submit(LOCAL, "EditRegion", "sent, with seed 7", original="sent", request_id=ID)
    found = await jobs.repeated(LOCAL, "EditRegion", "sent", request_id=ID)
    assert found is not None and found.name == again.name == first.name
    for method, original, time_limit in (
        ("EditRegion", "another", None),
        ("TrackRegion", "sent", None),
        ("EditRegion", "sent", 5.0),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await jobs.repeated(LOCAL, method, original, request_id=ID, time_limit=time_limit)
        assert caught.value.field == "request_id"


async def test_request_ids_of_two_callers_do_not_meet(driver: Drivers) -> None:
    jobs = await driver(Work())
    mine = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    theirs = await jobs.submit(OTHER, "EditRegion", "another", request_id=ID)
    assert theirs.name != mine.name
    for caller, request, job in ((LOCAL, "request", mine), (OTHER, "another", theirs)):
        again = await jobs.submit(caller, "EditRegion", request, request_id=ID)
        found = await jobs.repeated(caller, "EditRegion", request, request_id=ID)
        assert found is not None and again.name == found.name == job.name


async def test_a_repeat_is_answered_even_when_nothing_new_is_taken(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1, waiting=1)
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await work.has_begun(1)
    await jobs.submit(LOCAL, "EditRegion", "other")
    assert (await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)).name == first.name
    with pytest.raises(Busy):
        await jobs.submit(LOCAL, "EditRegion", "another")


async def test_a_request_that_comes_twice_at_a_time_gives_one_job(driver: Drivers) -> None:
    jobs = await driver(Work())
    twice = (jobs.submit(LOCAL, "EditRegion", "request", request_id=ID) for _ in range(2))
    first, second = await asyncio.gather(*twice)
    assert first.name == second.name
    different = (jobs.submit(OTHER, "EditRegion", request, request_id=ID) for request in ("one", "two"))
    outcomes = await asyncio.gather(*different, return_exceptions=True)
    assert sum(isinstance(outcome, InvalidRequest) for outcome in outcomes) == 1


async def test_a_repeat_after_a_restart_gives_the_same_job(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, file="same.sqlite")
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await driver.end(jobs)
    jobs = await driver(work, file="same.sqlite")
    assert (await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)).name == first.name
    with pytest.raises(InvalidRequest):
        await jobs.submit(LOCAL, "EditRegion", "another", request_id=ID)
