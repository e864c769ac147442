"""Sweeps against random references, with kills between any two steps."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from math import inf
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intarsia.errors import Busy, NotFound
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.retention.sweep import Removed
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store import lock as locks
from store.artifact import Origin, digest_of
from store.disk import DiskStore
from tests.orchestrator.jobs.retention.conftest import DAY, NOW, World, world_in

TIMES = TimesToLive(uploads=4 * DAY, results=3 * DAY, jobs=2 * DAY, previews=0, intermediates=DAY)
MADE = (Origin.PREVIEW, Origin.INTERMEDIATE, Origin.RESULT)
COUNT = 6  # artifacts
AGES = st.sampled_from([0.01, 0.5, 1.5, 2.5, 3.5, 4.5])  # days


@dataclass(frozen=True)
class Stored:
    origin: Origin
    age: float
    pinned: bool


@dataclass(frozen=True)
class Ran:
    state: State
    ended: float  # days ago
    inputs: frozenset[int]
    intermediates: frozenset[int]
    previews: frozenset[int]
    results: frozenset[int]

    @property
    def made(self) -> frozenset[int]:
        """What the ledger knows of it beside its inputs."""
        known = frozenset[int]()
        if self.state is not State.QUEUED:
            known |= self.intermediates | self.previews
        return known | self.final_results

    @property
    def final_results(self) -> frozenset[int]:
        return self.results if self.state.is_final else frozenset()


some = st.frozensets(st.integers(0, COUNT - 1), max_size=2)
artifacts = st.lists(
    st.builds(Stored, st.sampled_from(Origin), AGES, st.booleans()), min_size=COUNT, max_size=COUNT
)
jobs = st.lists(st.builds(Ran, st.sampled_from(State), AGES, some, some, some, some), max_size=4)


class Killed(BaseException):
    """Stands for the end of the process."""


class Steps:
    """Counts what changes the disk or the database, and kills before or after one of these steps."""

    def __init__(self) -> None:
        self.left = -1

    def step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        transact, unlink = Database._transact, Path.unlink

        def transacted(database, work, options):
            self.step()
            found = transact(database, work, options)
            self.step()
            return found

        def unlinked(path, missing_ok=False):
            self.step()
            unlink(path, missing_ok=missing_ok)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(Database, "_transact", transacted))
            stack.enter_context(mock.patch.object(Path, "unlink", unlinked))
            yield


def expected(stored: list[Stored], ran: list[Ran]) -> tuple[set[int], set[int]]:
    """The artifacts and the jobs that stay, by rules written in another way than those of the product."""
    pinned = {n for n, one in enumerate(stored) if one.pinned}
    jobs_left, needed = set(), set(pinned)
    for n, one in enumerate(ran):
        lives = TIMES.results if one.final_results else TIMES.jobs
        if one.state.is_final and one.ended * DAY > lives and not one.final_results & pinned:
            continue
        jobs_left.add(n)
        needed |= one.inputs | one.final_results
        if one.state is State.QUEUED:
            continue
        if not one.state.is_final:
            needed |= one.previews | one.intermediates
        elif one.state is not State.SUCCEEDED or one.ended * DAY < TIMES.intermediates:
            needed |= one.intermediates
    running = [one.ended * DAY for one in ran if one.state is State.RUNNING]
    for n, artifact in enumerate(stored):
        age = artifact.age * DAY
        young = age <= TIMES.of(artifact.origin)
        made_by_a_running_job = any(age <= since + 1 for since in running)
        replaced = artifact.origin is not Origin.RESULT and age > 3600
        if young or (artifact.origin is not Origin.UPLOAD and made_by_a_running_job and not replaced):
            needed.add(n)
    return needed, jobs_left


async def check(folder: Path, url: str, stored: list[Stored], ran: list[Ran], kills: list[int]) -> None:
    async with world_in(folder, url) as world:
        names = [
            (await world.put(f"{n}", one.origin, used=NOW - one.age * DAY)).name
            for n, one in enumerate(stored)
        ]
        for n, one in enumerate(stored):
            if one.pinned:
                await world.store.pin(names[n])
        submitted = [await submit(world, one, names) for one in ran]
        needed, jobs_left = expected(stored, ran)
        must_stay, jobs_stay = {names[n] for n in needed}, {submitted[n] for n in jobs_left}
        steps = Steps()
        with steps.counted():
            for kill in kills:
                steps.left = kill
                with suppress(Killed):
                    await world.sweep(TIMES).run()
                steps.left = -1
                world.store = DiskStore(folder / "artifacts")  # the next process
                assert must_stay <= await world.stored() and jobs_stay <= await world.jobs()
            await world.sweep(TIMES).run()
        assert await world.stored() == must_stay
        assert await world.jobs() == jobs_stay
        for name in must_stay:
            await world.store.load(name)
        await world.store.tidy(datetime.max.replace(tzinfo=timezone.utc))
        left = [path for path in (folder / "artifacts/objects").rglob("*") if path.is_file()]
        bytes_left = [path for path in left if not path.suffix]
        pinned = sum(one.pinned for one in stored)
        assert len(left) == 2 * len(bytes_left) + pinned


async def submit(world: World, one: Ran, names: list[str]) -> str:
    def of(numbers: frozenset[int]) -> list[str]:
        return [names[n] for n in sorted(numbers)]

    moment = NOW - one.ended * DAY
    return await world.job(
        one.state,
        inputs=of(one.inputs),
        intermediates=of(one.intermediates),
        previews=of(one.previews),
        results=of(one.results),
        started=moment,
        ended=moment,
    )


@settings(max_examples=25)
@given(artifacts, jobs, st.lists(st.integers(0, 30), max_size=4))
def test_nothing_that_is_needed_goes_and_in_the_end_nothing_else_is_left(new_database, stored, ran, kills):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        asyncio.run(check(Path(folder), new_database(folder), stored, ran, kills))


async def test_a_sweep_says_what_it_removed_and_the_next_one_finds_nothing(world):
    result = await world.put("result", Origin.RESULT, used=NOW - 40 * DAY)
    await world.put("upload", used=NOW - 40 * DAY)
    await world.job(State.SUCCEEDED, results=[result.name], started=NOW - 40 * DAY, ended=NOW - 40 * DAY)
    assert await world.sweep().run() == Removed(jobs=1, artifacts=2, size=12)
    assert await world.sweep().run() == Removed(0, 0, 0)


async def test_what_is_kept_for_ever_stays(world):
    for origin in Origin:
        await world.put(origin.value, origin, used=0)
    await world.job(State.FAILED, started=0, ended=0)
    forever = TimesToLive(uploads=inf, results=inf, jobs=inf, previews=inf, intermediates=inf)
    assert await world.sweep(forever).run() == Removed(0, 0, 0)
    assert len(await world.stored()) == 4 and len(await world.jobs()) == 1


async def test_a_pinned_result_keeps_its_job_and_what_it_was_made_of(world):
    old = {"started": NOW - 90 * DAY, "ended": NOW - 90 * DAY}
    picture, result = [await world.put(name, used=NOW - 90 * DAY) for name in ("picture", "result")]
    name = await world.job(State.SUCCEEDED, inputs=[picture.name], results=[result.name], **old)
    await world.store.pin(result.name)
    assert await world.sweep().run() == Removed(0, 0, 0) and await world.jobs() == {name}
    await world.store.unpin(result.name)
    assert await world.sweep().run() == Removed(1, 2, 13)


async def test_a_result_whose_description_is_damaged_stops_no_sweep(world):
    old = {"started": NOW - 90 * DAY, "ended": NOW - 90 * DAY}
    damaged, pinned = [await world.put(name, Origin.RESULT, used=NOW - 90 * DAY) for name in ("gone", "kept")]
    await world.store.pin(pinned.name)
    for result in (damaged, pinned):
        await world.job(State.SUCCEEDED, results=[result.name], **old)
        digest = digest_of(result.name)
        description = world.folder / "artifacts/objects" / digest[:2] / f"{digest}.json"
        description.write_text("{")
        os.utime(description, (NOW - 90 * DAY, NOW - 90 * DAY))
    assert await world.sweep().run() == Removed(1, 1, 4)
    assert await world.stored() == {pinned.name} and len(await world.jobs()) == 1


@pytest.mark.parametrize("step", range(6))
async def test_a_job_submitted_between_two_steps_of_a_sweep_gets_its_upload_or_is_refused(world, step):
    upload = await world.put("upload", used=NOW - 90 * DAY)
    before: list[int] = []
    submitting: list[asyncio.Future[None]] = []

    async def submit() -> None:
        async with world.store.retain([upload.name]):
            await world.job(inputs=[upload.name])

    async def stepped(method, *args, **named):
        if len(before) == step:
            submitting.append(asyncio.ensure_future(submit()))
            await asyncio.wait(submitting, timeout=0.05)  # it may have to wait for the deletion
        before.append(step)
        return await method(*args, **named)

    with ExitStack() as stack:
        methods = ((world.store, ("list", "delete")), (world.references, ("needed", "oldest_start", "ended")))
        for target, names in methods:
            for name in names:
                patched = partial(stepped, getattr(target, name))
                stack.enter_context(mock.patch.object(target, name, patched))
        await world.sweep().run()
    outcomes = await asyncio.gather(*submitting, return_exceptions=True)
    if outcomes == [None]:
        assert await world.store.load(upload.name) == b"upload"
    else:
        assert upload.name not in await world.stored() and await world.jobs() == set()
        assert len(before) <= step or isinstance(outcomes[0], NotFound)


async def test_what_is_held_before_a_sweep_and_referred_to_after_it_stays(world):
    upload = await world.put("upload", used=NOW - 90 * DAY)
    nothing_lives = TimesToLive(uploads=-DAY)
    async with world.store.retain([upload.name]):
        assert await world.sweep(nothing_lives).run() == Removed(0, 0, 0)
        await world.job(inputs=[upload.name])
    assert await world.sweep(nothing_lives).run() == Removed(0, 0, 0)


async def test_jobs_that_are_submitted_and_swept_at_the_same_time_never_miss_an_input(world):
    none_lives = TimesToLive(uploads=-1e12)
    inputs: dict[str, str] = {}
    over = asyncio.Event()

    async def submit(n: int) -> None:
        for round in range(12):
            upload = await world.store.put_bytes(f"{round % 3}".encode(), "image/png", origin=Origin.UPLOAD)
            try:
                async with world.store.retain([upload.name]):
                    inputs[await world.job(inputs=[upload.name])] = upload.name
            except NotFound:
                continue  # swept before it was named

    async def sweep() -> None:
        while not over.is_set():
            await world.sweep(none_lives).run()
            assert set(inputs.values()) <= await world.stored()

    sweeping = [asyncio.ensure_future(sweep()) for _ in range(2)]
    await asyncio.gather(*(submit(n) for n in range(3)))
    over.set()
    await asyncio.gather(*sweeping)
    assert set(inputs.values()) <= await world.stored() and set(inputs) == await world.jobs()


async def test_what_a_running_job_made_stays_however_old_it_is(world):
    """It may be the result of a stage that goes on since."""
    made = await world.put("made", Origin.RESULT, used=NOW - 40 * DAY)
    older = await world.put("older", Origin.RESULT, used=NOW - 60 * DAY)
    await world.job(State.RUNNING, started=NOW - 50 * DAY)
    assert await world.sweep().run() == Removed(0, 1, 5) and await world.stored() == {made.name} != {
        older.name
    }


async def test_a_full_database_does_not_keep_artifacts_from_being_removed(world, monkeypatch):
    await world.put("upload", used=NOW - 90 * DAY)

    async def full(*args, **named):
        raise Busy("the disk is full")

    monkeypatch.setattr(world.references, "release", full)
    assert await world.sweep().run() == Removed(0, 1, 6)


async def test_a_stale_result_that_somebody_uses_keeps_its_job_for_now(world, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    result = await world.put("result", Origin.RESULT, used=NOW - 90 * DAY)
    name = await world.job(State.SUCCEEDED, results=[result.name], started=0, ended=0)
    async with world.store.retain([result.name]):
        assert await world.sweep().run() == Removed(0, 0, 0) and await world.jobs() == {name}
    assert (await world.sweep().run()).jobs == 1
