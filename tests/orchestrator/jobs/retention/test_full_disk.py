"""A ledger beside its artifacts on a disk that is full: a real one, of two megabytes."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intarsia.errors import Busy
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import Hold, Wish
from orchestrator.jobs.persistence import until_written
from store.disk_space import DISK_FULL
from tests.orchestrator.jobs.ledger.conftest import claim, job
from tests.orchestrator.jobs.retention.conftest import DAY, NOW, World, world_in

WRITES = {
    "submit": lambda world, hold: world.ledger.submit(job(name="jobs/new")),
    "claim": lambda world, hold: claim(world.ledger, "jobs/00000001"),
    "remember": lambda world, hold: world.ledger.remember(hold, "key", "value"),
    "end": lambda world, hold: world.ledger.end(hold, State.SUCCEEDED, spent=1.0),
    "cancel": lambda world, hold: world.ledger.want("me", hold.name, Wish.CANCEL),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if (mounted := subprocess.run(mount, capture_output=True, text=True)).returncode:
        pytest.skip(f"a small disk is mounted by root only: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def url_on(disk: Path) -> str:
    return f"sqlite:///{disk}/jobs.sqlite"


def fill(disk: Path) -> Path:
    """A file that takes all that is left of the disk."""
    ballast = disk / "ballast"
    with pytest.raises(OSError) as full, ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    assert full.value.errno == errno.ENOSPC
    return ballast


async def begun(world: World) -> Hold:
    """The hold on a job that runs; another one waits."""
    running, waiting = await world.job(), await world.job()
    assert waiting == "jobs/00000001"
    return (await claim(world.ledger, running))[0]


@pytest.mark.parametrize("write", WRITES)
async def test_what_may_go_makes_room_for_the_ledger(disk: Path, write: str) -> None:
    async with world_in(disk, url_on(disk)) as world:
        world.store.space.free_by(world.retention().free)
        await world.put("old" * 50_000, used=NOW - 90 * DAY)
        young = await world.put("young", used=NOW - DAY)
        hold = await begun(world)
        fill(disk)
        await WRITES[write](world, hold)
        assert await world.stored() == {young.name}


async def test_jobs_that_run_wait_for_room_where_nothing_may_go(disk: Path) -> None:
    async with world_in(disk, url_on(disk)) as world:
        world.store.space.free_by(world.retention().free)
        preview = await world.put("preview")
        await world.job(State.SUCCEEDED, previews=[preview.name])  # a sweep wants to drop it, and cannot
        world.clock.set(NOW + 1)
        running = await world.job()
        hold, _ = await claim(world.ledger, running)
        ballast = fill(disk)
        ending = asyncio.ensure_future(
            until_written(lambda: world.ledger.end(hold, State.SUCCEEDED, spent=1.0))
        )
        for write in ("submit", "remember", "end", "cancel"):
            with pytest.raises(Busy, match=r"disk of the jobs database is full.*make room"):
                await WRITES[write](world, hold)
        assert await world.ledger.renew([hold], 15) == {hold: Wish.NOTHING} and not ending.done()
        ballast.unlink()
        assert (await ending).state is State.SUCCEEDED


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not hand on SQLite's codes")
async def test_a_start_says_that_the_disk_is_full(disk: Path) -> None:
    async with world_in(disk, url_on(disk)):
        pass
    fill(disk)
    with pytest.raises(Busy, match=r"disk of the jobs database is full") as refused:
        await Database.open(url_on(disk))
    assert refused.value.facts == DISK_FULL
