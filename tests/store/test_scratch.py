"""Files beside the store's stream of bytes: scratch folders, what becomes of the files in them, and
artifacts as files."""

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from intarsia.errors import Busy, DataLoss, InternalError, InvalidRequest, NotFound
from store import draft as drafts
from store.artifact import CHUNK, ArtifactStore, digest_of
from store.disk import DiskStore
from store.draft import Draft
from store.scratch import Scratch, sweep


def files(folder: Path) -> list[str]:
    """All files but those that every store has."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path not in ("identity", "lock"))


def name_of(data: bytes) -> str:
    return "artifacts/" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return DiskStore(tmp_path)


async def test_a_file_out_of_a_scratch_folder_is_stored_without_a_copy(store, tmp_path):
    data = os.urandom(2 * drafts._LARGE + 17)
    async with store.scratch() as folder:
        assert list(folder.iterdir()) == []
        (folder / "clip.mkv").write_bytes(data)
        (folder / "left over").write_bytes(b"not wanted")
        written = (folder / "clip.mkv").stat().st_ino
        artifact = await store.put_file(folder / "clip.mkv", "video/x-matroska")
        assert not (folder / "clip.mkv").exists()
    assert not folder.exists() and os.listdir(tmp_path / "drafts") == []
    assert (artifact.name, artifact.size) == (name_of(data), len(data))
    assert artifact.media_type == "video/x-matroska" and await store.describe(artifact.name) == artifact
    assert await store.load(artifact.name) == data
    stored = next(tmp_path.rglob(digest_of(artifact.name)))
    assert stored.stat().st_ino == written and stored.stat().st_mode & 0o777 == 0o640


async def test_a_file_that_is_stored_already_changes_nothing(store, tmp_path):
    first = await store.put_bytes(b"the same", "video/mp4")
    async with store.scratch() as folder:
        (folder / "again").write_bytes(b"the same")
        again = await store.put_file(folder / "again", "video/x-other")
        assert replace(again, used=first.used) == first
        assert not (folder / "again").exists()
    assert len(files(tmp_path)) == 2


async def test_a_file_that_is_too_large_is_refused(tmp_path):
    store = DiskStore(tmp_path, largest=10)
    async with store.scratch() as folder:
        (folder / "large").write_bytes(bytes(11))
        with pytest.raises(InvalidRequest, match=r"has 11 bytes.* at most 10") as caught:
            await store.put_file(folder / "large", "video/mp4")
    assert caught.value.field == ""  # it was not sent by the client
    assert files(tmp_path) == []


async def test_a_full_disk_is_busy_when_a_file_is_stored(store, tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    async with store.scratch() as folder:
        (folder / "clip").write_bytes(b"x")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Busy, match="full"):
            await store.put_file(folder / "clip", "video/mp4")
    assert files(tmp_path) == []


async def test_a_full_disk_is_busy_inside_a_scratch_folder(store, tmp_path):
    with pytest.raises(Busy, match="full"):
        async with store.scratch():
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError):
        async with store.scratch():
            raise PermissionError(errno.EPERM, "Not permitted")
    assert os.listdir(tmp_path / "drafts") == []


@pytest.fixture
def slow_reads(monkeypatch):
    """Reading a file of which a draft is made: has begun, may go on, and how often it was done."""
    begun, go_on, times = threading.Event(), threading.Event(), []
    read = os.read

    def slow(file, size):
        if size == drafts._LARGE:
            times.append(size)
            begun.set()
            go_on.wait()
        return read(file, size)

    monkeypatch.setattr(os, "read", slow)
    return begun, go_on, times


async def test_storing_a_file_can_be_cancelled(store, tmp_path, slow_reads):
    begun, go_on, _ = slow_reads
    async with store.scratch() as folder:
        (folder / "clip").write_bytes(bytes(3 * drafts._LARGE))
        storing = asyncio.create_task(store.put_file(folder / "clip", "video/mp4"))
        await asyncio.to_thread(begun.wait)
        storing.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await storing
        assert not (folder / "clip").exists()
    assert files(tmp_path) == [] and os.listdir(tmp_path / "drafts") == []


def test_the_rest_of_a_file_is_not_read_for_a_draft_that_is_discarded(tmp_path, slow_reads):
    begun, go_on, times = slow_reads
    (tmp_path / "clip").write_bytes(bytes(9 * drafts._LARGE))
    draft = Draft(tmp_path)
    adopter = threading.Thread(target=draft.adopt, args=(tmp_path / "clip",))
    adopter.start()
    begun.wait()
    discarder = threading.Thread(target=draft.discard)
    discarder.start()
    discarder.join(0.05)
    assert discarder.is_alive() and files(tmp_path)
    go_on.set()
    adopter.join()
    discarder.join()
    assert len(times) == 1 and files(tmp_path) == []


@pytest.mark.parametrize("way_out", [ValueError, asyncio.CancelledError])
async def test_a_scratch_folder_is_removed_after_success_and_failure(store, tmp_path, way_out):
    with pytest.raises(way_out):
        async with store.scratch() as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_bytes(b"x")
            raise way_out
    assert os.listdir(tmp_path / "drafts") == []


async def test_a_cancelled_owner_leaves_no_scratch_folder(store, tmp_path):
    inside = asyncio.Event()

    async def work():
        async with store.scratch() as folder:
            (folder / "half").write_bytes(b"x")
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await inside.wait()
    assert len(files(tmp_path)) == 2
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert os.listdir(tmp_path / "drafts") == []


def test_opening_a_store_removes_scratch_folders_of_dead_processes_only(tmp_path):
    DiskStore(tmp_path)
    drafts_folder = tmp_path / "drafts"
    living = Scratch(drafts_folder)
    (living.make() / "half").write_bytes(b"still being written")
    crash = (
        "import os, sys; from pathlib import Path; from store.scratch import Scratch\n"
        "(Scratch(Path(sys.argv[1])).make() / 'file').write_bytes(b'never finished'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", crash, str(drafts_folder)], check=False)
    assert len(os.listdir(drafts_folder)) == 4
    DiskStore(tmp_path)
    assert len(os.listdir(drafts_folder)) == 2 and sum("half" in name for name in files(tmp_path)) == 1
    living.discard()
    assert os.listdir(drafts_folder) == [] and sweep(drafts_folder) == 0


def test_a_scratch_folder_that_is_still_written_to_is_left_to_the_next_sweep(tmp_path, monkeypatch):
    scratch = Scratch(tmp_path)
    folder = scratch.make()
    (folder / "file").write_bytes(b"x")

    def busy(path):
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", busy)
        with pytest.raises(OSError):
            scratch.discard()
    assert folder.exists()
    assert sweep(tmp_path) == 1 and os.listdir(tmp_path) == []


def test_a_scratch_folder_discarded_before_it_is_made_is_never_there(tmp_path):
    scratch = Scratch(tmp_path)
    scratch.discard()
    with pytest.raises(InternalError):
        scratch.make()
    assert os.listdir(tmp_path) == []


def test_a_draft_discarded_before_it_adopts_a_file_leaves_it_alone(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    draft = Draft(tmp_path)
    draft.discard()
    draft.adopt(tmp_path / "file")
    draft.publish(tmp_path / "elsewhere")
    assert files(tmp_path) == ["file"]


# Prints the most bytes that are held while an artifact is handed out as a file.
_PEAK = """
import asyncio, sys, tracemalloc
from pathlib import Path
from store.disk import DiskStore

async def peak(folder, name):
    tracemalloc.start()
    async with DiskStore(Path(folder)).local(name):
        return tracemalloc.get_traced_memory()[1]

print(asyncio.run(peak(*sys.argv[1:])))
"""


async def test_an_artifact_can_be_read_as_a_file_and_is_never_in_memory_as_a_whole(store, tmp_path):
    data = os.urandom(20 * CHUNK)
    artifact = await store.put_bytes(data, "video/mp4")
    async with store.local(artifact.name) as path:
        assert path.read_bytes() == data
    assert await store.load(artifact.name) == data
    # In a process of its own, where nothing else allocates.
    command = [sys.executable, "-c", _PEAK, str(tmp_path), artifact.name]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert CHUNK <= peak < 8 * CHUNK


async def test_a_damaged_artifact_is_not_handed_out_as_a_file(store, tmp_path):
    artifact = await store.put_bytes(b"as it was", "video/mp4")
    next(tmp_path.rglob(digest_of(artifact.name))).write_bytes(b"as it is!")
    with pytest.raises(DataLoss):
        async with store.local(artifact.name):
            raise AssertionError("never entered")
    with pytest.raises(NotFound):
        async with store.local(artifact.name):
            raise AssertionError("never entered")


async def test_malformed_and_unknown_names_cannot_be_opened_as_files(store):
    with pytest.raises(InvalidRequest) as refusal:
        async with store.local("artifacts/../../secret"):
            raise AssertionError("never entered")
    assert refusal.value.field == "name"
    with pytest.raises(NotFound):
        async with store.local(name_of(b"never stored")):
            raise AssertionError("never entered")
