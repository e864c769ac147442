"""The memory for decoding: what all files that are being decoded in this process may take together.

A small file may hold a large picture: 600 KiB decode to gigabytes. So what decoding will take is computed
from the file's header, and a file waits until so much is free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TypeVar

from intarsia.errors import InvalidRequest

T = TypeVar("T")

_within_room: ContextVar[bool] = ContextVar("_within_room", default=False)


class DecodingBudget:
    """Bytes for all files that are decoded at a time. Those that wait are let in in their order."""

    def __init__(self, size: float) -> None:
        self.size, self.held = size, 0
        self._waiting: deque[tuple[int, asyncio.Event]] = deque()

    def check(self, needed: int, what: str, field: str) -> None:
        """Rejects a file that needs more than there is; `what` describes its content, `400 x 300`."""
        if needed > self.size:
            raise InvalidRequest(
                f"{what} takes up to {needed / 1e6:.0f} MB to decode, and this server has "
                f"{self.size / 1e6:.0f} MB for that; scale it down, save it with 8 bits per level, or raise "
                "the server's INTARSIA_DECODING_MEGABYTES",
                field=field,
                needed_bytes=needed,
            )

    @asynccontextmanager
    async def room(self, needed: int) -> AsyncIterator[None]:
        """Holds so many bytes while the context is open; waits for them first.

        What is decoded within it is part of these bytes and does not wait: who holds some and waits for more
        could wait for ever.
        """
        await self._take(needed)
        _within_room.set(True)
        try:
            yield
        finally:
            _within_room.set(False)
            self._give(needed)

    async def run(self, needed: int, work: Callable[[], Awaitable[T]]) -> T:
        """The result of work that holds so many bytes.

        Once begun it goes on if the caller is cancelled: no thread can be stopped, and until its end the
        bytes are not free.
        """
        if _within_room.get():
            needed = 0
        else:
            await self._take(needed)
        task: asyncio.Future[T] = asyncio.ensure_future(work())

        def ended(task: asyncio.Future[T]) -> None:
            self._give(needed)
            task.cancelled() or task.exception()  # of a caller that has gone, nobody reads it

        task.add_done_callback(ended)
        return await asyncio.shield(task)

    async def _take(self, needed: int) -> None:
        if not self._waiting and self._fits(needed):
            self.held += needed
            return
        turn = needed, asyncio.Event()
        self._waiting.append(turn)
        try:
            await turn[1].wait()
        except asyncio.CancelledError:
            if turn[1].is_set():
                self._give(needed)
            else:
                self._waiting.remove(turn)
                self._let_in()  # those that waited behind this one
            raise

    def _give(self, needed: int) -> None:
        self.held -= needed
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            needed, event = self._waiting.popleft()
            self.held += needed
            event.set()

    def _fits(self, needed: int) -> bool:
        return self.held + needed <= self.size
