"""A full disk, and what may go to make room."""

import errno
import os
from pathlib import Path

import pytest

from intarsia.errors import Busy, DigestMismatch
from store.artifact import ArtifactStore, Origin
from store.disk import DiskStore
from store.disk_space import DiskSpace
from tests.store.test_disk import files, pieces

LARGE = 9 << 20  # is digested beside the writing


async def nothing(names):
    return ()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return DiskStore(tmp_path)


class Disk:
    """A disk with a number of bytes free, as far as `os.write` and `os.fsync` notice; a write to a full disk
    writes what there is room for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.free, self.write, self.truncate = free, os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "ftruncate", self._truncate)

    def _write(self, file, data):
        if not self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.write(file, data[: self.free])
        self.free -= written
        return written

    def _truncate(self, file, size):
        self.free += os.fstat(file).st_size - size
        self.truncate(file, size)


@pytest.mark.parametrize("size", [5000, LARGE])
async def test_a_full_disk_takes_what_there_is_room_for_once_something_went(store, monkeypatch, size):
    old = await store.put_bytes(bytes(size), "image/png")
    disk = Disk(monkeypatch, free=size // 2)

    async def free():
        gone = await store.delete([old], needed=nothing)
        disk.free += sum(artifact.size for artifact in gone)
        return bool(gone)

    data = os.urandom(size)
    with pytest.raises(Busy, match="full"):
        await store.put_bytes(data, "image/png")
    disk.free = size // 2
    store.space.free_by(free)
    artifact = await store.put(
        pieces(data, 1000 if size < LARGE else 5 << 20), sha256=None, size=size, media_type=""
    )
    assert await store.load(artifact.name) == data and await store.list(size=2) == (artifact,)
    with pytest.raises(Busy, match="full"):  # there is nothing more that may go
        await store.put_bytes(os.urandom(size), "image/png")
    assert await store.list(size=2) == (artifact,)


async def test_a_description_that_finds_no_room_is_written_once_there_is_some(store, monkeypatch):
    data = os.urandom(1000)
    disk = Disk(monkeypatch, free=1000)

    async def free():
        disk.free += 1000
        return disk.free == 1000

    store.space.free_by(free)
    artifact = await store.put_bytes(data, "image/png", origin=Origin.UPLOAD)
    assert artifact.origin is Origin.UPLOAD and await store.load(artifact.name) == data


async def test_a_pin_that_finds_no_room_is_set_once_there_is_some(store, monkeypatch):
    artifact, tries, touch = await store.put_bytes(b"a", "image/png"), [], Path.touch

    def touched(path, mode):
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        touch(path, mode)

    async def free():
        return True

    monkeypatch.setattr(Path, "touch", touched)
    with pytest.raises(Busy, match="full"):
        await store.pin(artifact.name)
    store.space.free_by(free)
    assert (await store.pin(artifact.name)).pinned


async def test_room_is_made_before_anything_arrives_whose_size_is_known(store, tmp_path, monkeypatch):
    left, asked = [100], []
    monkeypatch.setattr(DiskSpace, "_left", lambda self: left[0])

    async def free():
        asked.append(left[0])
        left[0] += 1 << 29
        return True

    store.space.free_by(free)
    with pytest.raises(DigestMismatch):
        await store.put(pieces(b""), sha256=None, size=101, media_type="")
    assert asked == [100]
    async with store.scratch() as folder:
        assert folder.is_dir() and len(asked) == 2
    assert files(tmp_path) == []


async def test_a_store_that_nobody_frees_is_used_until_it_is_full(store, monkeypatch):
    monkeypatch.setattr(DiskSpace, "_left", lambda self: 0)
    assert await store.load((await store.put_bytes(b"fits", "")).name) == b"fits"
