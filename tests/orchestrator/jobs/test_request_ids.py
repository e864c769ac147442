"""Repeats: a request id gives the same job to the same caller."""

from __future__ import annotations

import pytest

from intarsia.errors import InvalidRequest
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import ID, OTHER, Driver, Work, last


async def test_a_repeated_request_id_gives_the_same_job(driver: Driver) -> None:
    jobs = driver(Work())
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    again = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    assert again.name == first.name
    with pytest.raises(InvalidRequest) as caught:
        await jobs.submit(LOCAL, "EditRegion", "another", request_id=ID)
    assert caught.value.field == "request_id"


async def test_a_repeat_is_known_by_what_was_sent_and_not_by_what_it_was_resolved_to(driver: Driver) -> None:
    jobs = driver(Work())
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


async def test_request_ids_of_two_callers_do_not_meet(driver: Driver) -> None:
    jobs = driver(Work())
    mine = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    theirs = await jobs.submit(OTHER, "EditRegion", "another", request_id=ID)
    assert theirs.name != mine.name
    for caller, request, job in ((LOCAL, "request", mine), (OTHER, "another", theirs)):
        again = await jobs.submit(caller, "EditRegion", request, request_id=ID)
        found = await jobs.repeated(caller, "EditRegion", request, request_id=ID)
        assert found is not None and again.name == found.name == job.name


async def test_a_forgotten_job_frees_the_request_id_of_its_own_caller(driver: Driver) -> None:
    work = Work()
    work.let_go.set()
    jobs = driver(work, kept_seconds=0)
    job = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await last(jobs, job.name)
    work.let_go.clear()
    theirs = await jobs.submit(OTHER, "EditRegion", "request", request_id=ID)
    assert (await jobs.list(LOCAL, size=10)).jobs == ()
    assert (await jobs.submit(LOCAL, "EditRegion", "new", request_id=ID)).name not in (job.name, theirs.name)
    assert (await jobs.submit(OTHER, "EditRegion", "request", request_id=ID)).name == theirs.name


async def test_a_repeat_is_answered_even_when_nothing_new_is_taken(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1, waiting=1)
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await jobs.submit(LOCAL, "EditRegion", "other")
    assert (await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)).name == first.name
