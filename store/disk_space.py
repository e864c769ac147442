"""Space on the disk: what may go is removed before anything is refused for want of it."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from intarsia.errors import Busy

T = TypeVar("T")

# Frees what may go; True if anything did.
Free = Callable[[], Awaitable[bool]]

DISK_FULL = {"disk": "full"}  # facts of a `Busy` that room on the disk would have spared


class DiskSpace:
    """The free space of the disk that a store is on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free: Free | None = None

    def free_by(self, free: Free) -> None:
        """Asks `free` from now on when the disk is full. It may be called at the same time again."""
        self._free = free

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """What `work` returns, called in a thread; like `retry`."""
        return await self.retry(partial(asyncio.to_thread, work, *args))

    async def retry(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns. After it raised `Busy`, because the disk is full, space is freed and it is
        called again, as long as there is something that may go."""
        while True:
            try:
                return await work()
            except Busy as error:
                if error.facts != DISK_FULL or self._free is None or not await self._free():
                    raise

    async def reserve(self, size: int) -> None:
        """Frees the disk until it has so many bytes, as far as something may go."""
        while self._free is not None and await asyncio.to_thread(self._left) < size:
            if not await self._free():
                return

    def _left(self) -> int:
        return shutil.disk_usage(self._folder).free


@contextmanager
def disk_full_is_busy() -> Iterator[None]:
    """Turns a full disk inside the block into `Busy`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Busy(
                "the artifact store is full; try again when space has been freed", **DISK_FULL
            ) from error
        raise
