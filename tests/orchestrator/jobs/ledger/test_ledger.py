"""Jobs of callers: submitted, found again, listed, and steered."""

from __future__ import annotations

import asyncio

import pytest

from intarsia.errors import Busy, NotFound
from orchestrator.jobs.job import JobFilter, Kind, State
from orchestrator.jobs.ledger.entry import Wish
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.clock import Clock
from tests.orchestrator.jobs.ledger.conftest import claim, job, listed


async def test_a_submitted_job_is_kept_as_it_was_submitted(ledger: Ledger, clock: Clock) -> None:
    new = job(
        request='{"picture": "é"}',
        recipe="3",
        kind=Kind.BATCH,
        priority=-2,
        labels=("mural", "blue"),
        request_id="7",
        time_limit=1.5,
        memory=1 << 40,
        requests=3,
    )
    kept = await ledger.submit(new)
    assert kept == await ledger.get("me", new.name)
    same = ("name", "caller", "method", "request", "sent", "recipe", "kind", "priority", "labels")
    for field in (*same, "request_id", "time_limit", "memory", "requests"):
        assert getattr(kept, field) == getattr(new, field)
    assert (kept.state, kept.attempt, kept.created, kept.started, kept.ended, kept.spent) == (
        State.QUEUED, 0, clock(), None, None, 0.0)  # fmt: skip
    assert kept.wanted is Wish.NOTHING and kept.progress is kept.failure is kept.result is None


async def test_a_request_id_gives_the_same_job(ledger: Ledger) -> None:
    new = job(request_id="7")
    first = await ledger.submit(new)
    again = await asyncio.gather(*(ledger.submit(job(request_id="7", sent="b")) for _ in range(5)))
    assert {one.name for one in again} == {new.name} and again[0].sent == "a"
    assert await ledger.find("me", "7") == first
    assert await ledger.waiting() == 1


async def test_request_ids_that_meet_give_one_job(ledger: Ledger) -> None:
    jobs = await asyncio.gather(*(ledger.submit(job(request_id="7")) for _ in range(12)))
    assert len({one.name for one in jobs}) == 1 and await ledger.waiting() == 1


async def test_a_request_id_belongs_to_its_caller(ledger: Ledger) -> None:
    mine, theirs = await ledger.submit(job(request_id="7")), await ledger.submit(job("you", request_id="7"))
    assert mine.name != theirs.name
    assert await ledger.find("me", "8") is None
    with pytest.raises(NotFound, match=theirs.name):
        await ledger.get("me", theirs.name)
    with pytest.raises(NotFound):
        await ledger.want("me", theirs.name, Wish.CANCEL)


async def test_beyond_a_number_that_waits_only_repeats_are_answered(ledger: Ledger) -> None:
    kept = await ledger.submit(job(request_id="7"), waiting=1)
    with pytest.raises(Busy, match="1 jobs are waiting"):
        await ledger.submit(job("you"), waiting=1)
    assert await ledger.submit(job(request_id="7"), waiting=1) == kept
    assert await ledger.waiting() == 1


async def test_jobs_without_a_request_id_are_all_new(ledger: Ledger) -> None:
    assert (await ledger.submit(job())).name != (await ledger.submit(job())).name


async def test_lists_are_filtered_newest_first(ledger: Ledger) -> None:
    red = (await ledger.submit(job(labels=("mural", "red")))).name
    fill = (await ledger.submit(job(method="FillRegion", labels=("mural",)))).name
    await ledger.submit(job("you", labels=("mural",)))
    await claim(ledger, red)
    assert await listed(ledger) == [fill, red]
    assert await listed(ledger, states={State.RUNNING}) == [red]
    assert await listed(ledger, states={State.RUNNING, State.QUEUED}) == [fill, red]
    assert await listed(ledger, methods={"FillRegion"}) == [fill]
    assert await listed(ledger, methods={"FillRegion", "EditRegion"}) == [fill, red]
    assert await listed(ledger, methods={"FillRegion"}, states={State.RUNNING}) == []
    assert await listed(ledger, labels={"mural"}) == [fill, red]
    assert await listed(ledger, labels={"mural", "red"}) == [red]
    assert await listed(ledger, labels={"mural"}, methods={"FillRegion"}, states={State.QUEUED}) == [fill]
    assert await listed(ledger, labels={"mur"}) == []


async def test_pages_are_stable_while_jobs_come_and_go(ledger: Ledger) -> None:
    names = [(await ledger.submit(job())).name for _ in range(7)][::-1]
    first = [one.name for one in await ledger.list("me", size=3)]
    await ledger.submit(job())
    await ledger.want("me", names[3], Wish.CANCEL)
    after = [one.name for one in await ledger.list("me", before=first[-1], size=3)]
    assert (first, after) == (names[:3], names[3:6])
    queued = JobFilter(states=frozenset({State.QUEUED}))
    assert [one.name for one in await ledger.list("me", queued, names[2], 2)] == names[4:6]


async def test_a_waiting_job_obeys_at_once(ledger: Ledger, clock: Clock) -> None:
    name = (await ledger.submit(job())).name
    assert (await ledger.want("me", name, Wish.PAUSE)).state is State.PAUSED
    assert (await ledger.want("me", name, Wish.PAUSE)).state is State.PAUSED
    assert await ledger.waiting() == 0
    assert (await ledger.resume("me", name)).state is State.QUEUED
    assert await ledger.waiting() == 1
    clock.move(5)
    cancelled = await ledger.want("me", name, Wish.CANCEL, failure='"why"')
    assert (cancelled.state, cancelled.failure, cancelled.ended) == (State.CANCELLED, '"why"', clock())
    assert await ledger.want("me", name, Wish.PAUSE) == cancelled == await ledger.resume("me", name)
    assert await ledger.waiting() == 0


async def test_a_running_job_is_told(ledger: Ledger) -> None:
    name = (await ledger.submit(job())).name
    hold, _ = await claim(ledger, name)
    assert (await ledger.want("me", name, Wish.PAUSE)).state is State.RUNNING
    assert await ledger.report(hold, "{}") is Wish.PAUSE
    assert (await ledger.resume("me", name)).wanted is Wish.NOTHING
    await ledger.want("me", name, Wish.KEEP_PARTIAL)
    await ledger.want("me", name, Wish.PAUSE)
    assert await ledger.renew([hold], 15) == {hold: Wish.KEEP_PARTIAL}
    assert (await ledger.want("me", name, Wish.CANCEL)).wanted is Wish.CANCEL


async def test_a_pause_is_over_when_the_job_waits_again(ledger: Ledger) -> None:
    name = (await ledger.submit(job())).name
    hold, _ = await claim(ledger, name)
    await ledger.want("me", name, Wish.PAUSE)
    # It was handed back for another reason; the pause counts.
    assert (await ledger.hand_back(hold, spent=3.0)).state is State.PAUSED
    again = await ledger.resume("me", name)
    assert (again.state, again.wanted, again.spent) == (State.QUEUED, Wish.NOTHING, 3.0)


async def test_a_cancel_outlives_its_owner(ledger: Ledger) -> None:
    name = (await ledger.submit(job())).name
    hold, _ = await claim(ledger, name)
    await ledger.want("me", name, Wish.CANCEL)
    assert (await ledger.hand_back(hold, spent=1.0, state=State.PAUSED)).state is State.QUEUED
    assert (await ledger.want("me", name, Wish.PAUSE)).state is State.QUEUED
    _, entry = await claim(ledger, name, "second")
    assert entry.wanted is Wish.CANCEL


async def test_what_a_paused_job_made_can_be_kept(ledger: Ledger) -> None:
    """Only a recipe can make a result of it: the job is claimed once more for that."""
    name = (await ledger.submit(job())).name
    hold, _ = await claim(ledger, name)
    await ledger.remember(hold, "piece", "1")
    await ledger.hand_back(hold, spent=1.0, state=State.PAUSED)
    assert (await ledger.want("me", name, Wish.KEEP_PARTIAL)).state is State.QUEUED
    hold, entry = await claim(ledger, name)
    assert entry.wanted is Wish.KEEP_PARTIAL
    ended = await ledger.end(hold, State.CANCELLED, spent=1.0, result="1")
    assert (ended.state, ended.result) == (State.CANCELLED, "1")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
async def test_a_retried_job_remembers(ledger: Ledger, state: State) -> None:
    name = (await ledger.submit(job(time_limit=10.0))).name
    hold, _ = await claim(ledger, name)
    await ledger.remember(hold, "piece", "1")
    await ledger.end(hold, state, spent=10.0, failure='"late"')
    again = await ledger.retry("me", name)
    assert (again.state, again.failure, again.ended, again.spent) == (State.QUEUED, None, None, 0.0)
    assert await ledger.memory(name) == {"piece": "1"} and await ledger.waiting() == 1
    hold, entry = await claim(ledger, name)
    assert entry.attempt == 2
    await ledger.end(hold, State.SUCCEEDED, spent=1.0, result="2")
    assert (await ledger.retry("me", name)).state is State.SUCCEEDED
