import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from intarsia.errors import Busy, DataLoss, DigestMismatch, InvalidRequest, NotFound
from store import draft as drafts
from store.artifact import CHUNK, Artifact, ArtifactStore, digest_of
from store.disk import DiskStore
from store.draft import Draft
from store.scratch import sweep

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def name_of(data: bytes) -> str:
    return "artifacts/" + hashlib.sha256(data).hexdigest()


async def pieces(data: bytes, size: int = 1000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def everything(store: ArtifactStore, name: str, offset: int = 0) -> list[bytes]:
    return [chunk async for chunk in store.read(name, offset)]


def files(folder: Path) -> list[str]:
    """All files but those that every store has."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path not in ("identity", "lock"))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return DiskStore(tmp_path)


async def test_bytes_come_back_under_the_name_of_their_digest(store):
    data = os.urandom(3 * CHUNK + 17)
    digest = hashlib.sha256(data).hexdigest()
    artifact = await store.put(pieces(data, 70_000), sha256=digest, size=len(data), media_type="")
    assert artifact.name == name_of(data)
    assert artifact.size == len(data) and artifact.media_type == "application/octet-stream"
    chunks = await everything(store, artifact.name)
    assert b"".join(chunks) == data and max(map(len, chunks)) <= CHUNK
    assert await store.load(artifact.name) == data


async def test_a_description_outlives_the_process(store, tmp_path):
    before = datetime.now(timezone.utc)
    artifact = await store.put_bytes(PNG, "")
    assert artifact.media_type == "image/png" and before <= artifact.created <= datetime.now(timezone.utc)
    assert await DiskStore(tmp_path).describe(artifact.name) == artifact


async def test_storing_again_changes_nothing_but_the_time_of_use(store):
    first = await store.put_bytes(PNG, "image/x-first")
    again = await store.put_bytes(PNG, "image/x-second")
    assert again.used > first.used and replace(again, used=first.used) == first


async def test_empty_bytes_are_bytes_too(store):
    artifact = await store.put(pieces(b""), sha256=None, size=0, media_type="")
    assert artifact.size == 0 and await store.load(artifact.name) == b""
    assert await everything(store, artifact.name) == []


async def test_a_broken_download_resumes_where_it_stopped(store):
    data = os.urandom(2 * CHUNK)
    artifact = await store.put_bytes(data, "")
    for offset in (1, CHUNK + 5, len(data)):
        assert b"".join(await everything(store, artifact.name, offset)) == data[offset:]


@pytest.mark.parametrize("offset", [-1, 109])
async def test_an_offset_beyond_the_bytes_is_refused(store, offset):
    artifact = await store.put_bytes(PNG, "")
    with pytest.raises(InvalidRequest) as refusal:
        await everything(store, artifact.name, offset)
    assert refusal.value.field == "offset"


@pytest.mark.parametrize(
    "announced",
    [
        {"sha256": "0" * 64, "size": None},
        {"sha256": None, "size": len(PNG) + 1},
        {"sha256": None, "size": len(PNG) - 1},
    ],
)
async def test_bytes_that_were_not_announced_leave_nothing_behind(store, tmp_path, announced):
    with pytest.raises(DigestMismatch):
        await store.put(pieces(PNG, 7), media_type="", **announced)
    assert files(tmp_path) == []
    with pytest.raises(NotFound):
        await store.describe(name_of(PNG))


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"sha256": "ABC", "size": 5, "media_type": ""}, "header.sha256"),
        ({"sha256": None, "size": -5, "media_type": ""}, "header.size_bytes"),
        ({"sha256": None, "size": 5 << 30, "media_type": ""}, "header.size_bytes"),
        ({"sha256": None, "size": 5, "media_type": "a picture"}, "header.media_type"),
    ],
)
async def test_invalid_headers_are_refused_before_a_byte_is_read(store, header, field):
    async def untouched():
        raise AssertionError("no bytes should be read")
        yield b""

    with pytest.raises(InvalidRequest) as refusal:
        await store.put(untouched(), **header)
    assert refusal.value.field == field


async def test_a_stream_that_grows_too_large_is_cut_off(tmp_path):
    store = DiskStore(tmp_path, largest=5000)

    async def endless():
        while True:
            yield bytes(1000)

    with pytest.raises(InvalidRequest, match="5000 bytes"):
        await store.put(endless(), sha256=None, size=None, media_type="")
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["", "artifacts/", "artifacts/../../secret", name_of(b"")[:-1], "x" * 74])
async def test_malformed_names_are_refused(store, name):
    for ask in (store.describe, store.load, lambda name: everything(store, name)):
        with pytest.raises(InvalidRequest) as refusal:
            await ask(name)
        assert refusal.value.field == "name"


def test_a_malformed_name_names_the_field_it_came_in():
    with pytest.raises(InvalidRequest) as refusal:
        digest_of("artifacts/" + "G" * 64, field="picture")
    assert refusal.value.field == "picture"
    assert digest_of(name_of(b"x")) == hashlib.sha256(b"x").hexdigest()


async def test_unknown_names_are_not_found(store):
    for ask in (store.describe, store.load, lambda name: everything(store, name)):
        with pytest.raises(NotFound):
            await ask(name_of(b"never stored"))


def damage(folder: Path, artifact: Artifact) -> None:
    next(folder.rglob(digest_of(artifact.name))).write_bytes(PNG[:-1] + b"!")


@pytest.mark.parametrize("ask", ["load", "read"])
async def test_damaged_bytes_raise_data_loss_and_are_unknown_until_uploaded_again(store, tmp_path, ask):
    artifact = await store.put_bytes(PNG, "")
    damage(tmp_path, artifact)
    with pytest.raises(DataLoss):
        await (store.load(artifact.name) if ask == "load" else everything(store, artifact.name))
    for again in (store.describe, store.load, lambda name: everything(store, name)):
        with pytest.raises(NotFound):
            await again(artifact.name)
    assert replace(await store.put_bytes(PNG, ""), used=artifact.used) == artifact
    assert await store.load(artifact.name) == PNG


async def test_bytes_repaired_while_damaged_ones_are_read_stay(store, tmp_path):
    artifact = await store.put_bytes(PNG, "")
    damage(tmp_path, artifact)
    reader = store.read(artifact.name)
    await anext(reader)
    await store.put_bytes(PNG, "")
    with pytest.raises(DataLoss):
        await anext(reader)
    assert await store.load(artifact.name) == PNG


@pytest.mark.parametrize("facts", ["{", "[]", '{"media_type": "image/png", "created": "once"}'])
async def test_a_damaged_description_raises_data_loss_and_is_repaired_by_another_upload(
    store, tmp_path, facts
):
    artifact = await store.put_bytes(PNG, "")
    next(tmp_path.rglob("*.json")).write_text(facts)
    with pytest.raises(DataLoss):
        await store.describe(artifact.name)
    await store.put_bytes(PNG, "")
    assert (await store.describe(artifact.name)).media_type == "image/png"


async def test_many_uploads_of_the_same_bytes_at_once_are_harmless(store, tmp_path):
    data = os.urandom(300_000)
    artifacts = await asyncio.gather(
        *(
            store.put(pieces(data, 9000 + n), sha256=None, size=len(data), media_type="image/png")
            for n in range(12)
        )
    )
    assert {artifact.name for artifact in artifacts} == {name_of(data)}
    assert await store.load(name_of(data)) == data
    assert len(files(tmp_path)) == 2


async def test_a_cancelled_upload_leaves_nothing_behind(store, tmp_path):
    sent = asyncio.Event()

    async def stalls():
        yield PNG
        sent.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(store.put(stalls(), sha256=None, size=None, media_type=""))
    await sent.wait()
    assert len(files(tmp_path)) == 1
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert files(tmp_path) == []


async def test_a_source_that_fails_leaves_nothing_behind(store, tmp_path):
    async def fails():
        yield PNG
        raise ConnectionError("the client is gone")

    with pytest.raises(ConnectionError):
        await store.put(fails(), sha256=None, size=None, media_type="")
    assert files(tmp_path) == []


@pytest.mark.parametrize("data", [PNG, PNG * 100_000], ids=["small", "large"])
async def test_a_full_disk_is_busy(store, tmp_path, monkeypatch, data):
    def full(file, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(drafts, "_write_all", full)
    with pytest.raises(Busy, match="full"):
        await store.put_bytes(data, "")
    assert files(tmp_path) == []


async def test_pieces_of_every_size_are_part_of_the_digest(store):
    pieces = [PNG, PNG * 100_000, b"", PNG * 100_001, PNG]
    assert len(pieces[1]) > drafts._LARGE

    async def stream():
        for piece in pieces:
            yield piece

    data = b"".join(pieces)
    stored = await store.put(stream(), sha256=None, size=None, media_type="")
    assert stored.name == f"artifacts/{hashlib.sha256(data).hexdigest()}" and stored.size == len(data)
    assert await store.load(stored.name) == data
    at_hand = await store.put_bytes(pieces, "")
    assert (at_hand.name, at_hand.size, at_hand.media_type) == (stored.name, len(data), "image/png")


async def test_bytes_beyond_the_limit_are_refused(tmp_path):
    store = DiskStore(tmp_path, largest=10)
    with pytest.raises(InvalidRequest, match="at most 10 bytes"):
        await store.put_bytes([b"123456", b"78901"], "")
    assert files(tmp_path) == []


def test_opening_sweeps_what_a_crash_left_and_nothing_else(tmp_path):
    DiskStore(tmp_path)
    living = Draft(tmp_path / "drafts")
    living.write(b"half of it")
    crash = (
        "import os, sys; from pathlib import Path; from store.draft import Draft\n"
        "Draft(Path(sys.argv[1])).write(b'never finished'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", crash, str(tmp_path / "drafts")], check=False)
    assert len(files(tmp_path)) == 2
    DiskStore(tmp_path)
    assert len(files(tmp_path)) == 1
    living.publish(tmp_path / "whole" / "published")
    assert (tmp_path / "whole" / "published").read_bytes() == b"half of it"
    assert sweep(tmp_path / "drafts") == 0


def test_discarding_waits_for_a_write_and_later_writes_do_nothing(tmp_path, monkeypatch):
    writing, go_on = threading.Event(), threading.Event()

    def slow(file, chunk):
        writing.set()
        go_on.wait()
        os.write(file, chunk)

    monkeypatch.setattr(drafts, "_write_all", slow)
    draft = Draft(tmp_path)
    writer = threading.Thread(target=draft.write, args=(b"x",))
    writer.start()
    writing.wait()
    discarder = threading.Thread(target=draft.discard)
    discarder.start()
    discarder.join(0.05)
    assert discarder.is_alive() and files(tmp_path)
    go_on.set()
    writer.join()
    discarder.join()
    draft.write(b"y")
    draft.publish(tmp_path / "target")
    assert files(tmp_path) == []


@pytest.mark.parametrize("size", [9, 5 << 20])
async def test_files_reach_the_disk_before_their_names_and_names_before_the_answer(
    tmp_path, monkeypatch, size
):
    store, events = DiskStore(tmp_path), []

    def recorded(sync):
        def record(file):
            sync(file)
            events.append(("sync", os.readlink(f"/proc/self/fd/{file}")))

        return record

    def replace(source, target, replace=os.replace):
        replace(source, target)
        events.append(("rename", str(source), str(target)))

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, recorded(getattr(os, name)))
    monkeypatch.setattr(os, "replace", replace)
    artifact = await store.put_bytes(bytes(size), "image/png")

    renames = [event for event in events if event[0] == "rename"]
    digest = digest_of(artifact.name)
    assert [Path(target).name for _, _, target in renames] == [f"{digest}.json", digest]
    assert all(("sync", source) in events[: events.index(renames[0])] for _, source, _ in renames)
    assert events[-1] == ("sync", str(tmp_path / "objects" / digest[:2]))


async def test_what_is_cancelled_while_it_is_synced_leaves_nothing_behind(store, tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(file, sync=os.fsync):
        begun.set()
        go_on.wait()
        sync(file)

    def discard(draft, discard=Draft.discard):
        draft._ended = True  # as it does before it waits for the write
        go_on.set()
        discard(draft)

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(Draft, "discard", discard)
    storing = asyncio.create_task(store.put_bytes(b"unwanted", "image/png"))
    await asyncio.to_thread(begun.wait)
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    await asyncio.get_running_loop().shutdown_default_executor()
    assert files(tmp_path) == []
