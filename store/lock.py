"""Locks on names of artifacts, for all processes that share a store.

There is one lock file, and a byte of it for each name: no file has to be made for a lock, so that artifacts
can also be deleted on a full disk. Locks belong to the open file: they exclude each other within a process as
well, and end with it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import threading
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from intarsia.errors import Busy

# Seconds between two looks at a lock that another process holds: the system tells nobody when it is free, but
# to a thread that waits, and threads that wait here would be missing where the lock is given back.
_PAUSE = 0.01
# No request holds a lock for longer than it takes to be checked and recorded.
_PATIENCE = 10.0
# A byte behind those of all names.
_LAST = 1 << 60


class NameLock:
    """Locks on some names, shared or exclusive. All methods block only for the disk."""

    def __init__(self, path: Path, *, exclusive: bool) -> None:
        """Does not touch the disk yet. `path` is the lock file."""
        self._path, self._exclusive = path, exclusive
        self._guard = threading.Lock()
        self._file: int | None = None
        self._ended = False

    def take(self, digests: Collection[str]) -> set[str]:
        """Locks names as far as nobody else has them; returns those that are locked."""
        with self._guard:
            if self._ended:
                return set()
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
            return {digest for digest in digests if _set(self._file, self._kind, digest)}

    def release(self) -> None:
        """Gives back all locks; afterwards none is taken any more."""
        with self._guard:
            self._ended = True
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @property
    def _kind(self) -> int:
        return fcntl.F_WRLCK if self._exclusive else fcntl.F_RDLCK


@asynccontextmanager
async def locked(path: Path, digests: Sequence[str], *, exclusive: bool) -> AsyncIterator[None]:
    """Holds locks on all these names while the context is open. Raises `Busy` if others keep one for long."""
    lock, loop = NameLock(path, exclusive=exclusive), asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    try:
        for digest in sorted(
            set(digests)
        ):  # in the same order everywhere, so that no two wait for each other
            while not await asyncio.to_thread(lock.take, [digest]):
                if loop.time() > until:
                    raise Busy("another request uses the same artifact; try again in a moment")
                await asyncio.sleep(_PAUSE)
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(lock.release))


@asynccontextmanager
async def locked_where_free(path: Path, digests: Sequence[str]) -> AsyncIterator[set[str]]:
    """Holds exclusive locks, while the context is open, on those of the names that nobody else has."""
    lock = NameLock(path, exclusive=True)
    try:
        yield await asyncio.to_thread(lock.take, digests)
    finally:
        await asyncio.shield(asyncio.to_thread(lock.release))


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Waits until nobody else is in such a block: for work of microseconds."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _lock(fcntl.F_WRLCK, _LAST))
        yield
    finally:
        os.close(file)


def _set(file: int, kind: int, digest: str) -> bool:
    """Locks the byte of a name; False if somebody else has it."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(kind, int(digest[:15], 16)))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _lock(kind: int, place: int) -> bytes:
    """The system's `struct flock` for one byte."""
    return struct.pack("hhqqixxxx", kind, os.SEEK_SET, place, 1, 0)
