"""Claims: their order, leases, and writes of those who lost a job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import Hold, Lost, Reference, ReferenceKind
from orchestrator.jobs.ledger.ledger import MOST_REMEMBERED, Ledger
from tests.orchestrator.jobs.ledger.clock import Clock
from tests.orchestrator.jobs.ledger.conftest import claim, claimable, job

LEVEL = 600


async def submit(ledger: Ledger, **changes: Any) -> str:
    return (await ledger.submit(job(**changes))).name


async def names(ledger: Ledger) -> list[str]:
    return [one.name for one in await claimable(ledger)]


async def test_the_oldest_job_is_first(ledger: Ledger, clock: Clock) -> None:
    waiting = []
    for method in ("EditRegion", "FillRegion", "EditRegion"):
        waiting.append(await submit(ledger, method=method))
        clock.move(1)
    assert await names(ledger) == waiting


async def test_priority_comes_before_age(ledger: Ledger, clock: Clock) -> None:
    usual = await submit(ledger)
    clock.move(1)
    low, high = await submit(ledger, priority=-1), await submit(ledger, priority=2)
    assert await names(ledger) == [high, usual, low]


async def test_ten_minutes_of_waiting_are_one_level(ledger: Ledger, clock: Clock) -> None:
    old = await submit(ledger, caller="many")
    await claim(ledger, await submit(ledger, caller="many"), lease=10 * LEVEL)
    young = await submit(ledger, caller="few")
    assert await names(ledger) == [young, old]  # on one level, the caller with less running is first
    clock.move(LEVEL)
    late = await submit(ledger, caller="few")
    assert await names(ledger) == [young, old, late]
    later = await submit(ledger, caller="few", priority=2)
    assert await names(ledger) == [later, young, old, late]


async def test_a_level_is_shared_fairly_by_callers(ledger: Ledger, clock: Clock) -> None:
    for _ in range(3):
        await submit(ledger, caller="many")
        clock.move(1)
    few = await submit(ledger, caller="few")
    order = []
    while (taken := await ledger.claim("a", 15, lambda jobs: jobs[0].name)) is not None:
        order.append(taken[1].caller)
    assert order == ["many", "few", "many", "many"]
    assert (await ledger.get("few", few)).state is State.RUNNING


async def test_every_lane_has_candidates(ledger: Ledger, clock: Clock) -> None:
    """However many jobs wait in front of them."""
    for _ in range(30):
        await submit(ledger)
        clock.move(1)
    others = {
        await submit(ledger, caller="you"),
        await submit(ledger, method="FillRegion"),
        await submit(ledger, kind=Kind.BATCH),
    }
    found = await claimable(ledger)
    assert others < {one.name for one in found} and len(found) < 30


async def test_many_lanes_are_all_seen(ledger: Ledger) -> None:
    waiting = {await submit(ledger, caller=f"caller {n}") for n in range(120)}
    assert set(await names(ledger)) == waiting


async def test_nothing_is_claimed_that_is_not_chosen(ledger: Ledger) -> None:
    await submit(ledger)
    assert await ledger.claim("a", 15, lambda jobs: None) is None
    assert await ledger.waiting() == 1


async def test_no_job_is_claimed_twice(ledger: Ledger) -> None:
    waiting = {await submit(ledger) for _ in range(40)}
    taken: list[str] = []

    async def work(owner: str) -> None:
        while (found := await ledger.claim(owner, 15, lambda jobs: jobs[0].name)) is not None:
            taken.append(found[0].name)

    await asyncio.gather(*(work(f"owner {n}") for n in range(6)))
    assert sorted(taken) == sorted(waiting) and await ledger.waiting() == 0


async def test_a_lease_that_runs_out_is_taken_over(ledger: Ledger, database: Database, clock: Clock) -> None:
    name = await submit(ledger)
    hold, _ = await claim(ledger, name, "first", lease=15)
    clock.move(10)
    await ledger.renew([hold], 15)
    clock.move(10)
    assert await names(ledger) == []
    clock.move(6)
    if not database.is_shared:
        assert await names(ledger) == []  # one process runs all jobs, and no clock decides
        return
    assert [(one.name, one.expired) for one in await claimable(ledger)] == [(name, True)]
    taken, entry = await claim(ledger, name, "second")
    assert (taken.attempt, entry.owner) == (2, "second")
    assert await ledger.renew([hold, taken], 15) == {taken: entry.wanted}
    assert await ledger.waiting() == 0


async def test_a_late_renewal_keeps_what_nobody_took(ledger: Ledger, clock: Clock) -> None:
    hold, entry = await claim(ledger, await submit(ledger))
    clock.move(100)
    assert await ledger.renew([hold], 15) == {hold: entry.wanted}
    assert await names(ledger) == []


async def test_a_hold_that_is_not_renewed_runs_out(ledger: Ledger, database: Database, clock: Clock) -> None:
    kept, lost = await claim(ledger, await submit(ledger)), await claim(ledger, await submit(ledger))
    clock.move(10)
    await ledger.renew([kept[0]], 15)
    clock.move(10)
    assert await names(ledger) == ([lost[0].name] if database.is_shared else [])


Write = Callable[[Ledger, Hold], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "report": lambda ledger, hold: ledger.report(hold, "{}", spent=9.0),
    "remember": lambda ledger, hold: ledger.remember(hold, "key", "late"),
    "forget": lambda ledger, hold: ledger.forget(hold, "key"),
    "end": lambda ledger, hold: ledger.end(hold, State.FAILED, spent=9.0),
    "hand_back": lambda ledger, hold: ledger.hand_back(hold, spent=9.0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("loss", ["taken over", "by the same owner", "handed back", "ended"])
async def test_the_writes_of_a_lost_hold_count_for_nothing(ledger: Ledger, loss: str, write: Write) -> None:
    name = await submit(ledger)
    hold, _ = await claim(ledger, name, "first")
    await ledger.remember(hold, "key", "good")
    if loss == "ended":
        await ledger.end(hold, State.SUCCEEDED, spent=1.0, result="1")
    else:
        await ledger.hand_back(hold, spent=1.0)
    if loss in ("taken over", "by the same owner"):
        await claim(ledger, name, "second" if loss == "taken over" else "first")
    before, waiting = await ledger.get("me", name), await ledger.waiting()
    with pytest.raises(Lost, match="attempt 1"):
        await write(ledger, hold)
    assert await ledger.get("me", name) == before and await ledger.waiting() == waiting
    assert await ledger.memory(name) == {"key": "good"}


async def test_an_end_may_be_written_again(ledger: Ledger, clock: Clock) -> None:
    """The connection may break before its owner knows."""
    hold, _ = await claim(ledger, await submit(ledger))
    first = await ledger.end(hold, State.SUCCEEDED, spent=1.0, result="1")
    clock.move(5)
    assert await ledger.end(hold, State.SUCCEEDED, spent=2.0, result="1") == first


async def test_a_stage_is_replaced_and_forgotten(ledger: Ledger, database: Database) -> None:
    name = await submit(ledger, inputs=("artifacts/in",))
    hold, _ = await claim(ledger, name)
    artifacts = [Reference(f"artifacts/{n}", ReferenceKind.INTERMEDIATE) for n in range(3)]
    await ledger.remember(hold, "a", "1", artifacts[:2])
    await ledger.remember(hold, "b", "2", artifacts[:1])
    await ledger.remember(hold, "a", "3", artifacts[1:])
    assert await ledger.memory(name) == {"a": "3", "b": "2"}
    assert await referred(database) == {"artifacts/in", *(one.artifact for one in artifacts)}
    await ledger.forget(hold, "a")
    await ledger.forget(hold, "never there")
    assert await ledger.memory(name) == {"b": "2"}
    assert await referred(database) == {"artifacts/in", "artifacts/0"}


async def test_stages_are_remembered_at_the_same_time(ledger: Ledger) -> None:
    hold, _ = await claim(ledger, await submit(ledger))
    await asyncio.gather(*(ledger.remember(hold, f"piece {n}", str(n)) for n in range(20)))
    assert await ledger.memory(hold.name) == {f"piece {n}": str(n) for n in range(20)}


async def test_a_stage_that_is_too_large_is_refused(ledger: Ledger) -> None:
    hold, _ = await claim(ledger, await submit(ledger))
    await ledger.remember(hold, "fits", "x" * MOST_REMEMBERED)
    with pytest.raises(ValueError, match="65537 bytes"):
        await ledger.remember(hold, "large", "x" * (MOST_REMEMBERED + 1))


async def test_previews_and_results_are_referred_to(ledger: Ledger, database: Database) -> None:
    hold, _ = await claim(ledger, await submit(ledger))
    for n in range(3):
        await ledger.report(
            hold, "{}", references=[Reference(f"artifacts/preview {n}", ReferenceKind.PREVIEW)]
        )
    assert await referred(database) == {"artifacts/preview 2"}
    result = Reference("artifacts/result", ReferenceKind.RESULT)
    await ledger.end(hold, State.SUCCEEDED, spent=1.0, result="1", references=[result, result])
    assert await referred(database) == {"artifacts/preview 2", "artifacts/result"}


async def test_the_next_process_takes_the_jobs_of_the_last(ledger: Ledger, database: Database) -> None:
    running = [await submit(ledger) for _ in range(3)]
    for name in running[:2]:
        await claim(ledger, name, "first")
    await claim(ledger, running[2], "other")
    assert sorted(await ledger.take_back_all("first")) == running[:2]
    assert await ledger.waiting() == 2
    if database.is_shared:
        with pytest.raises(ValueError, match="name an owner"):
            await ledger.take_back_all()
    else:
        assert await ledger.take_back_all() == (running[2],)
        assert await names(ledger) == running


async def test_attempts_that_end_without_a_word_are_counted_until_something_is_remembered(
    ledger: Ledger, database: Database, clock: Clock
) -> None:
    name = await submit(ledger)

    async def interrupted(times: int) -> int:
        for _ in range(times):
            await claim(ledger, name)
            if database.is_shared:
                clock.move(16)
            else:
                await ledger.take_back_all()
        hold, entry = await claim(ledger, name)
        await ledger.report(hold, "{}")
        await ledger.hand_back(hold, spent=1.0)
        return entry.interruptions

    assert await interrupted(2) == 2
    assert await interrupted(1) == 3, "one that is handed back does not count, and changes nothing"
    hold, _ = await claim(ledger, name)
    await ledger.remember(hold, "key", "value")
    await ledger.hand_back(hold, spent=1.0)
    assert await interrupted(1) == 1
    hold, _ = await claim(ledger, name)
    await ledger.end(hold, State.FAILED, spent=1.0)
    assert (await ledger.retry("me", name)).interruptions == 0


async def test_changes_are_told(ledger: Ledger) -> None:
    changes = ledger.changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)  # until it listens
    name = await submit(ledger)
    assert await waiting == name
    hold, _ = await claim(ledger, name)
    assert await anext(changes) == name
    await ledger.report(hold, "{}")
    await ledger.end(hold, State.SUCCEEDED, spent=1.0)
    assert await anext(changes) == name
    await changes.aclose()


async def referred(database: Database) -> set[str]:
    query = select(tables.references.c.artifact)
    return set(await database.read(lambda connection: connection.execute(query).scalars().all()))
