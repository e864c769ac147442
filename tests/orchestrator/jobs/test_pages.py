"""Lists of jobs, page by page."""

from __future__ import annotations

import pytest

from intarsia.errors import InvalidRequest
from orchestrator.jobs.job import ALL_JOBS, JobFilter, State
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, Work

QUEUED = JobFilter(states=frozenset({State.QUEUED}))


async def test_lists_are_newest_first_and_come_in_pages(driver: Drivers) -> None:
    work = Work()
    jobs = await driver(work, running=1)
    names = [(await jobs.submit(LOCAL, "EditRegion", str(n))).name for n in range(7)]
    newest_first = names[::-1]
    first = await jobs.list(LOCAL, size=3)
    assert [job.name for job in first.jobs] == newest_first[:3]
    later = (await jobs.submit(LOCAL, "EditRegion", "7")).name
    second = await jobs.list(LOCAL, size=3, token=first.next_token)
    third = await jobs.list(LOCAL, size=3, token=second.next_token)
    assert [job.name for job in second.jobs + third.jobs] == newest_first[3:]
    assert third.next_token == ""
    queued = await jobs.list(LOCAL, size=100, filter=QUEUED)
    assert [job.name for job in queued.jobs] == [later, *newest_first[:-1]]


async def test_tokens_of_other_lists_are_refused(driver: Drivers) -> None:
    jobs = await driver(Work(), running=1)
    for n in range(3):
        await jobs.submit(LOCAL, "EditRegion", str(n))
    token = (await jobs.list(LOCAL, size=1)).next_token
    for bad, filter in ((token, QUEUED), *((bad, ALL_JOBS) for bad in ("nonsense", "bm9uc2Vuc2U=", "é"))):
        with pytest.raises(InvalidRequest) as caught:
            await jobs.list(LOCAL, size=1, token=bad, filter=filter)
        assert caught.value.field == "page_token"
