"""Helpers for asyncio: waiting with a limit, running several things or none, and threads of one's own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def wait_event(event: asyncio.Event, *, within: float) -> bool:
    """True if the event was set within so many seconds. Never swallows a cancellation."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        done, _ = await asyncio.wait({waiter}, timeout=max(0.0, within))
        return bool(done)
    finally:
        waiter.cancel()


async def gather_or_cancel(*work: Awaitable[Any]) -> list[Any]:
    """Every result, in order. When one fails the others are cancelled, and awaited, before it is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def map_ahead(
    work: Callable[[T], Awaitable[R]], items: AsyncIterator[T], *, ahead: int
) -> AsyncGenerator[tuple[T, R], None]:
    """Yields each item and the result of its work, which begins up to `ahead` items before its turn.

    At the end unfinished work is cancelled and awaited.
    """
    begun: deque[tuple[T, asyncio.Future[R]]] = deque()
    try:
        async for item in items:
            begun.append((item, asyncio.ensure_future(work(item))))
            if len(begun) > ahead:
                yield begun[0][0], await begun[0][1]
                begun.popleft()
        while begun:
            yield begun[0][0], await begun[0][1]
            begun.popleft()
    finally:
        for _, task in begun:
            task.cancel()
        await asyncio.gather(*(task for _, task in begun), return_exceptions=True)


class WorkerThread:
    """One thread, for work that two must not do at a time. A context: at its end all work is done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    async def __call__(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def __aenter__(self) -> WorkerThread:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._pool.shutdown)
