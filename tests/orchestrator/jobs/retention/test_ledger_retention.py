"""What people may do with artifacts, and when these go."""

import asyncio
from datetime import datetime, timedelta, timezone
from math import inf

import pytest

from intarsia.errors import Busy, InvalidRequest, ModelDown, NotFound, NotReady
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.entry import Wish
from orchestrator.jobs.retention import ledger_retention
from orchestrator.jobs.retention.retention import Retention
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store.artifact import Origin, digest_of
from store.disk_space import DISK_FULL
from tests.orchestrator.jobs.retention.conftest import DAY, NOW


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


async def test_artifacts_say_when_they_expire_unless_something_keeps_them(world):
    retention: Retention = world.retention(TimesToLive(uploads=DAY, results=2 * DAY))
    upload, result, pinned, needed = [
        await world.put(name, origin, used=NOW - DAY)
        for name, origin in zip(
            "abcd", (Origin.UPLOAD, Origin.RESULT, Origin.UPLOAD, Origin.UPLOAD), strict=True
        )
    ]
    assert (await retention.pin(pinned.name)).expires is None
    await world.job(inputs=[needed.name])
    page = await retention.list(size=9)
    found = {artifact.name: artifact.expires for artifact in page.artifacts}
    assert found == {
        upload.name: moment(NOW),
        result.name: moment(NOW + DAY),
        pinned.name: None,
        needed.name: None,
    }
    assert (await retention.unpin(pinned.name)).expires == moment(NOW)
    assert (await world.retention(TimesToLive(uploads=inf)).unpin(pinned.name)).expires is None
    described = await retention.describe(upload.name)
    assert described.used != upload.used  # it was named just now
    assert described.expires == described.used + timedelta(days=1)


async def test_pages_are_newest_first_and_stay_while_artifacts_come_and_go(world):
    retention = world.retention()
    stored = [await world.put(f"{n}") for n in range(7)][::-1]
    for artifact in (stored[1], stored[5]):
        await retention.pin(artifact.name)
    first = await retention.list(size=3)
    assert [one.name for one in first.artifacts] == [one.name for one in stored[:3]]
    await world.put("new")
    await retention.delete(stored[2].name)  # the last of the page before
    second = await retention.list(size=3, token=first.next_token)
    assert [one.name for one in second.artifacts] == [one.name for one in stored[3:6]]
    last = await retention.list(size=3, token=second.next_token)
    assert [one.name for one in last.artifacts] == [stored[6].name] and last.next_token == ""
    pinned = await retention.list(size=1, pinned=True)
    assert [one.name for one in pinned.artifacts] == [stored[1].name]
    rest = await retention.list(size=1, pinned=True, token=pinned.next_token)
    assert [one.name for one in rest.artifacts] == [stored[5].name] and rest.next_token == ""


@pytest.mark.parametrize("token", ["nonsense", "WzEsIDJd", "ÿ"])
async def test_a_token_of_another_kind_is_refused(world, token):
    with pytest.raises(InvalidRequest, match="leave it empty") as refusal:
        await world.retention().list(size=1, token=token)
    assert refusal.value.field == "page_token"


async def test_what_an_unfinished_job_needs_cannot_be_deleted(world):
    retention = world.retention()
    used, middle, preview = [await world.put(name) for name in ("used", "middle", "preview")]
    waiting = await world.job(inputs=[used.name])
    running = await world.job(State.RUNNING, intermediates=[middle.name], previews=[preview.name])
    for artifact, job in ((used, waiting), (middle, running), (preview, running)):
        with pytest.raises(NotReady, match=f"{job} needs `{artifact.name}`") as refusal:
            await retention.delete(artifact.name)
        assert refusal.value.facts["job"] == job
    await world.ledger.want("me", waiting, Wish.CANCEL)
    await retention.delete(used.name)
    with pytest.raises(NotFound):
        await retention.delete(used.name)


async def test_what_is_pinned_or_used_at_this_moment_cannot_be_deleted(world):
    retention = world.retention()
    name = (await world.put("picture")).name
    await retention.pin(name)
    with pytest.raises(NotReady, match="unpin it first"):
        await retention.delete(name)
    await retention.unpin(name)
    async with world.store.retain([name]):
        with pytest.raises(Busy, match="try again"):
            await retention.delete(name)
    await retention.delete(name)
    assert await world.stored() == set()


async def test_the_result_of_a_finished_job_may_be_deleted(world):
    result = await world.put("result", Origin.RESULT)
    await world.job(State.SUCCEEDED, results=[result.name])
    await world.retention().delete(result.name)
    assert await world.stored() == set() and len(await world.jobs()) == 1


async def test_a_full_disk_frees_what_may_go_and_asks_again_only_after_a_while(world, monkeypatch):
    retention = world.retention()
    await world.put("old", used=NOW - 90 * DAY)
    await world.put("young", used=NOW - DAY)
    assert await asyncio.gather(*(retention.free() for _ in range(3))) == [True] * 3
    assert not await retention.free()
    await world.put("old", used=NOW - 90 * DAY)
    assert not await retention.free() and len(await world.stored()) == 2
    monkeypatch.setattr(retention, "_full_until", -inf)
    assert await retention.free() and len(await world.stored()) == 1


async def test_a_store_frees_by_its_retention_before_it_refuses(world, monkeypatch):
    retention = world.retention()
    old = await world.put("old", used=NOW - 90 * DAY)
    young = await world.put("young", used=NOW - DAY)
    world.store.space.free_by(retention.free)
    left = iter([0, 1 << 40])
    monkeypatch.setattr(type(world.store.space), "_left", lambda space: next(left))
    async with world.store.scratch():
        assert await world.stored() == {young.name} != {old.name}


async def test_a_sweep_that_finds_the_ledger_full_does_not_wait_for_itself(world, monkeypatch):
    retention = world.retention()
    await world.put("old", used=NOW - 90 * DAY)
    world.store.space.free_by(retention.free)

    async def full():
        raise Busy("the disk is full", **DISK_FULL)

    monkeypatch.setattr(world.references, "release", lambda *_, **__: world.store.space.retry(full))
    assert await retention.free() and await world.stored() == set()


async def test_a_full_disk_is_full_while_nobody_can_say_what_may_go(world, monkeypatch):
    old = await world.put("old", used=NOW - 90 * DAY)

    async def away():
        raise ModelDown("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.references, "oldest_start", away)
        assert not await world.retention().free() and await world.stored() == {old.name}
    assert await world.retention().free() and await world.stored() == set()


async def test_sweeps_follow_each_other_until_they_are_stopped_and_survive_errors(world, monkeypatch):
    monkeypatch.setattr(ledger_retention, "_BETWEEN_SWEEPS", 0)
    retention, seen, enough = world.retention(), [], asyncio.Event()
    tidy = world.store.tidy

    async def tidied(before):
        seen.append(before)
        if len(seen) == 1:
            raise Busy("not now")
        if len(seen) == 3:
            enough.set()
        return await tidy(before)

    monkeypatch.setattr(world.store, "tidy", tidied)
    running = asyncio.ensure_future(retention.run())
    await enough.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled() and all(task is asyncio.current_task() for task in asyncio.all_tasks())


def test_times_to_live_are_told_in_one_line():
    assert TimesToLive().describe() == (
        "uploads for 30 days, results with their jobs for 30 days, unless pinned; jobs without a result "
        "for 30 days; previews until their job ends, intermediates until their job ends"
    )
    other = TimesToLive(uploads=inf, results=DAY, jobs=DAY / 2, previews=DAY, intermediates=inf)
    assert other.describe() == (
        "uploads for ever, results with their jobs for 1 day, unless pinned; jobs without a result for "
        "0.5 days; previews for 1 day after their job, intermediates for ever"
    )


async def test_a_name_that_is_none_is_refused(world):
    retention = world.retention()
    for call in (retention.describe, retention.pin, retention.unpin, retention.delete):
        with pytest.raises(InvalidRequest, match="not an artifact's name"):
            await call("pictures/1")
        with pytest.raises(NotFound):
            await call("artifacts/" + "0" * 64)
    assert digest_of("artifacts/" + "0" * 64) == "0" * 64
