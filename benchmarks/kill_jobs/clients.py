"""Clients that do not give up: a call that one orchestrator does not answer goes to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TypeVar

from intarsia.client import AsyncClient
from intarsia.errors import Busy, ModelDown, TimeLimit
from intarsia.retry import RetryPolicy

T = TypeVar("T")

_CALL_SECONDS = 5.0  # a frozen orchestrator takes calls and does not answer them
_PAUSE_SECONDS = 0.1


class Clients:
    """One client for each orchestrator; to be used within one event loop."""

    def __init__(self, addresses: Sequence[str]) -> None:
        once = RetryPolicy(attempts=1)
        self._clients = [AsyncClient(address, timeout=_CALL_SECONDS, retry=once) for address in addresses]
        self._next = 0

    async def call(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """The answer of the first orchestrator that gives one, however long it takes until there is one.

        `work` may be carried out several times, so it must be a call that may be repeated.
        """
        while True:
            self._next += 1
            try:
                return await work(self._clients[self._next % len(self._clients)])
            except (ModelDown, TimeLimit, Busy, TimeoutError, asyncio.TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))
