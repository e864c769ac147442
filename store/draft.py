"""Drafts: files being written, which appear under their name complete or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from intarsia.errors import Busy
from store.disk_space import disk_full_is_busy

# So many bytes take about as long to digest as to reach the disk.
_LARGE = 4 << 20
_MODE = 0o640


class Draft:
    """A file under a private name, locked for as long as its writer lives.

    The lock distinguishes a draft that is being written, perhaps by another process, from one that a crash
    left behind. All methods block, and are safe to call from several threads.
    """

    def __init__(self, folder: Path) -> None:
        """Does not touch the disk yet: the first write creates the file."""
        self.size = 0
        self._folder = folder
        self._digest = hashlib.sha256()
        self._guard = threading.Lock()
        self._open: tuple[Path, int] | None = None
        self._synced = False
        self._ended = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def ended(self) -> bool:
        """True once it was published or discarded."""
        return self._ended

    def write(self, *pieces: bytes) -> None:
        """Adds pieces, one after the other; none of them if the disk is full."""
        size = sum(map(len, pieces))
        with self._guard:
            if self._ended:
                return  # discarded while this call waited for a thread
            with self._restored_if_full(), self._digesting(pieces, beside=size >= _LARGE):
                _, file = self._file()
                for piece in pieces:
                    _write_all(file, piece)
                if size >= _LARGE:
                    os.fdatasync(file)
            self.size += size
            self._synced = size >= _LARGE

    def adopt(self, path: Path) -> None:
        """Makes a finished file on the same disk the draft. It must not be written to afterwards."""
        with self._guard:
            if self._ended:
                return
            file = os.open(path, os.O_RDONLY)
            self._open = path, file
            os.fchmod(file, _MODE)
        while self._digest_next(file):
            pass

    def sync(self) -> None:
        """Writes what the draft holds to disk, unless it is there already."""
        with self._guard:
            if self._ended or self._synced:
                return
            with disk_full_is_busy():
                os.fsync(self._file()[1])
            self._synced = True

    def publish(self, target: Path, *, durable: bool = True) -> None:
        """Makes the draft the file at `target`; from here on it survives a crash.

        Unless `durable`, it does so only when a further draft is published in the same folder.
        """
        self.sync()
        with self._guard:
            if self._ended:
                return
            with disk_full_is_busy():
                path, _ = self._file()
                if not target.parent.exists():
                    target.parent.mkdir(exist_ok=True)
                    sync_folder(target.parent.parent)
                os.replace(path, target)
                if durable:
                    sync_folder(target.parent)
            self._end()

    def link(self, target: Path) -> bool:
        """Makes the draft the file at `target` unless there is one; returns True if it did."""
        self.sync()
        with self._guard:
            if self._ended:
                return False
            with disk_full_is_busy(), suppress(FileExistsError):
                os.link(self._file()[0], target)
                return True
        return False

    def discard(self) -> None:
        """Removes the draft; harmless after `publish`. Waits for a write that is running."""
        self._ended = True  # before the guard is free, so that `adopt` stops after the next piece
        with self._guard:
            if self._open is not None:
                self._open[0].unlink(missing_ok=True)
            self._end()

    @contextmanager
    def _restored_if_full(self) -> Iterator[None]:
        """Undoes what was written in the block, and raises `Busy`, if the disk is full."""
        digest = self._digest.copy()
        try:
            with disk_full_is_busy():
                yield
        except Busy:
            self._digest = digest
            if self._open is not None:
                os.ftruncate(self._open[1], self.size)
                os.lseek(self._open[1], self.size, os.SEEK_SET)
            raise

    @contextmanager
    def _digesting(self, pieces: Iterable[bytes], *, beside: bool) -> Iterator[None]:
        """Digests pieces in a thread during the block, or after it."""

        def digest() -> None:
            for piece in pieces:
                self._digest.update(piece)

        if not beside:
            yield
            digest()
            return
        thread = threading.Thread(target=digest)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _digest_next(self, file: int) -> bool:
        """Digests the next bytes of an adopted file; returns True if there may be more."""
        with self._guard:
            piece = b"" if self._ended else os.read(file, _LARGE)
            self._digest.update(piece)
            self.size += len(piece)
        return bool(piece)

    def _file(self) -> tuple[Path, int]:
        if self._open is None:
            self._open = create_locked(self._folder)
        return self._open

    def _end(self) -> None:
        self._ended = True
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


def sync_all(*drafts: Draft) -> None:
    """Writes drafts to disk at the same time: a disk takes hardly longer for several files than for one."""
    with ThreadPoolExecutor(len(drafts)) as pool:
        list(pool.map(Draft.sync, drafts))


def create_locked(folder: Path) -> tuple[Path, int]:
    """Creates a file that stays locked while it is open."""
    while True:
        path = folder / uuid4().hex
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            return path, file
        os.close(file)  # swept by another process between creation and lock


def _write_all(file: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: Path) -> None:
    """Writes a folder to disk: only then a file renamed into it is safe."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
