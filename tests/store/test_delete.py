"""Listing, pinning, holding and deleting artifacts."""

import asyncio
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from intarsia.errors import Busy, NotFound
from store import lock as locks
from store.artifact import ArtifactStore, Origin, digest_of
from store.disk import DiskStore
from store.entries import Entries

LATER = datetime.now(timezone.utc) + timedelta(days=1)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "objects").rglob("*") if path.is_file())


async def nothing(names):
    return ()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return DiskStore(tmp_path)


def test_a_store_keeps_its_identity_and_no_other_has_it(tmp_path):
    first = DiskStore(tmp_path / "a").identity
    assert DiskStore(tmp_path / "a").identity == first and len(first) == 32
    assert DiskStore(tmp_path / "b").identity != first


def test_processes_that_open_a_new_store_together_agree_on_its_identity(tmp_path):
    program = "import sys; from pathlib import Path; from store.disk import DiskStore\n"
    program += "sys.stdin.readline(); print(DiskStore(Path(sys.argv[1])).identity)"
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    found = {process.communicate()[0].strip() for process in processes}
    assert found == {DiskStore(tmp_path).identity}


async def test_a_store_of_an_older_version_keeps_its_artifacts_and_gets_an_identity(store, tmp_path):
    artifact = await store.put_bytes(b"old", "image/png")
    digest = digest_of(artifact.name)
    description = tmp_path / "objects" / digest[:2] / f"{digest}.json"
    description.write_text('{"media_type": "image/png", "created": "2020-01-01T00:00:00+00:00"}')
    os.utime(description, (1e9, 1e9))
    (tmp_path / "identity").unlink()
    before = files(tmp_path)
    opened = DiskStore(tmp_path)
    found = await opened.describe(artifact.name)
    assert (found.media_type, found.created.year, found.origin) == ("image/png", 2020, Origin.RESULT)
    assert opened.identity and files(tmp_path) == before
    assert found.used > artifact.used  # its time to live counts from now on
    assert (await DiskStore(tmp_path).use(artifact.name)).used > found.used


async def test_pages_of_the_list_are_stable_while_artifacts_come_and_go(store):
    stored = sorted([await store.put_bytes(b"%d" % n, "image/png") for n in range(20)], key=lambda a: a.name)
    seen = []
    page = await store.list(size=6)
    assert page == tuple(stored[:6])
    while page:
        seen += [artifact.name for artifact in page]
        new = await store.put_bytes(b"new %d" % len(seen), "image/png")
        gone = page[-1]  # from which the next page starts
        assert await store.delete([gone], needed=nothing) == (gone,)
        page = await store.list(after=seen[-1], size=6)
        assert new.name not in seen
    assert len(seen) == len(set(seen)) and {artifact.name for artifact in stored} <= set(seen)


async def test_the_most_lasting_origin_of_bytes_counts_whatever_the_order(store):
    for origins in ((Origin.PREVIEW, Origin.UPLOAD), (Origin.UPLOAD, Origin.PREVIEW)):
        data = str(origins).encode()
        created = {(await store.put_bytes(data, "image/png", origin=origin)).created for origin in origins}
        assert (await store.put_bytes(data, "image/png", origin=Origin.RESULT)).origin is Origin.UPLOAD
        assert len(created) == 1
    assert (
        await store.put_bytes(b"1", "image/png", origin=Origin.INTERMEDIATE)
    ).origin is Origin.INTERMEDIATE


async def test_a_pinned_artifact_stays_until_it_is_unpinned(store, tmp_path):
    artifact = await store.put_bytes(b"precious", "image/png")
    pinned = await store.pin(artifact.name)
    assert pinned.pinned and (await DiskStore(tmp_path).describe(artifact.name)).pinned
    for described in (artifact, pinned):
        assert await store.delete([described], needed=nothing) == ()
    free = await store.unpin(artifact.name)
    assert not free.pinned and await store.unpin(artifact.name) == free
    assert await store.delete([free], needed=nothing) == (free,)
    assert files(tmp_path) == []
    for change in (store.pin, store.unpin, store.use):
        with pytest.raises(NotFound):
            await change(artifact.name)


async def test_what_is_used_after_it_was_described_is_not_deleted(store):
    artifact = await store.put_bytes(b"a", "image/png")
    for use in (store.use(artifact.name), store.put_bytes(b"a", "image/png")):
        used = await use
        assert used.used > artifact.used
        assert await store.delete([artifact], needed=nothing) == ()
    assert await store.delete([used], needed=nothing) == (used,)


async def test_what_is_needed_is_not_deleted_and_the_oldest_goes_first(store, monkeypatch):
    stored = [await store.put_bytes(b"%d" % n, "image/png") for n in range(6)]
    order, asked = [], []
    delete = Entries.delete
    monkeypatch.setattr(Entries, "delete", lambda self, one: order.append(one) or delete(self, one))

    async def needed(names):
        asked.extend(names)
        return [stored[2].name]

    deleted = await store.delete(stored[::-1], needed=needed)
    assert list(deleted) == order == [one for one in stored if one is not stored[2]]
    assert asked == [one.name for one in stored]
    assert await store.list(size=9) == (stored[2],)


async def test_nobody_begins_to_use_what_is_being_deleted(store, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    artifact = await store.put_bytes(b"a", "image/png")

    async def needed(names):
        for begin in (store.use(artifact.name), store.put_bytes(b"a", "image/png"), store.pin(artifact.name)):
            with pytest.raises(Busy, match="same artifact"):
                await begin
        with pytest.raises(Busy):
            async with store.retain([artifact.name]):
                raise AssertionError("never entered")
        return ()

    assert await store.delete([artifact], needed=needed) == (artifact,)
    with pytest.raises(NotFound, match="upload it first"):
        async with store.retain([artifact.name]):
            raise AssertionError("never entered")
    assert await store.load((await store.put_bytes(b"a", "image/png")).name) == b"a"


async def test_what_somebody_holds_is_not_deleted_by_any_process(store, tmp_path):
    artifacts = [await store.put_bytes(b"%d" % n, "image/png") for n in range(2)]
    async with store.retain([artifacts[0].name]):
        described = [await store.describe(artifact.name) for artifact in artifacts]
        assert await DiskStore(tmp_path).delete(described, needed=nothing) == (described[1],)
        assert await store.put_bytes(b"0", "image/png") != described[0]  # while it is held, it can be stored
    left = await store.list(size=2)
    assert [one.name for one in left] == [artifacts[0].name]
    assert await store.delete(left, needed=nothing) == left


async def test_a_holder_that_is_killed_holds_nothing(store, tmp_path):
    artifact = await store.put_bytes(b"a", "image/png")
    program = (
        "import asyncio, sys; from pathlib import Path; from store.disk import DiskStore\n"
        "async def hold():\n"
        "    async with DiskStore(Path(sys.argv[1])).retain([sys.argv[2]]):\n"
        "        print('held', flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(hold())"
    )
    command = [sys.executable, "-c", program, str(tmp_path), artifact.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        used = await store.describe(artifact.name)
        assert used.used > artifact.used and await store.delete([used], needed=nothing) == ()
        holder.kill()
        holder.wait()
        assert await store.delete([used], needed=nothing) == (used,)


@pytest.mark.parametrize("steps", range(3))
async def test_a_deletion_that_is_killed_midway_leaves_nothing_that_can_be_seen(
    store, tmp_path, monkeypatch, steps
):
    artifact = await store.put_bytes(b"a", "image/png")
    left, unlink = [steps], Path.unlink

    def killed(path, missing_ok=False):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        Entries(tmp_path / "objects").delete(artifact)
    assert await store.list(size=2) == (() if steps else (artifact,))
    again = await store.put_bytes(b"a", "image/png")
    assert await store.load(again.name) == b"a"
    assert await store.tidy(LATER) == 0 and len(files(tmp_path)) == 2


async def test_tidying_removes_what_was_left_and_nothing_else(store, tmp_path):
    kept, lost, broken, marked = [await store.put_bytes(b"%d" % n, "image/png") for n in range(4)]
    await store.pin(kept.name)
    await store.pin(marked.name)

    def path(artifact, suffix=""):
        digest = digest_of(artifact.name)
        return tmp_path / "objects" / digest[:2] / (digest + suffix)

    path(lost).unlink()
    path(marked).unlink()
    path(broken, ".damaged").write_bytes(b"?")
    assert await store.tidy(kept.created - timedelta(days=1)) == 0
    async with store.freeze([lost.name]):
        assert await DiskStore(tmp_path).tidy(LATER) == 3  # the pin and the description, and what was damaged
    assert await store.tidy(LATER) == 1
    assert {one.name for one in await store.list(size=9)} == {kept.name, broken.name}
    assert path(kept, ".pinned").exists() and len(files(tmp_path)) == 5


async def test_an_artifact_whose_description_is_damaged_can_be_listed_and_deleted(store, tmp_path):
    artifact = await store.put_bytes(b"a", "image/png")
    digest = digest_of(artifact.name)
    (tmp_path / "objects" / digest[:2] / f"{digest}.json").write_text("{")
    (found,) = await store.list(size=2)
    assert (found.name, found.size) == (artifact.name, 1)
    assert await store.delete([found], needed=nothing) == (found,) and files(tmp_path) == []


async def test_many_that_store_hold_and_delete_the_same_bytes_never_lose_what_is_held(store, tmp_path):
    others = DiskStore(tmp_path)
    name = (await store.put_bytes(b"a", "image/png")).name

    async def hold():
        for _ in range(15):
            await store.put_bytes(b"a", "image/png")
            held = store.retain([name])
            try:
                await held.__aenter__()
            except NotFound:
                continue  # deleted between the two calls
            assert await store.load(name) == b"a"
            await held.__aexit__(None, None, None)

    async def delete():
        for _ in range(40):
            await others.delete(await others.list(size=9), needed=nothing)

    await asyncio.gather(hold(), hold(), delete(), delete())
    assert os.listdir(tmp_path / "drafts") == []
