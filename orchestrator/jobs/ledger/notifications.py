"""Notifications: the names of changed jobs, to and from the other processes that use a PostgreSQL.

They are sent in transactions of their own, a few a second: PostgreSQL lets only one transaction that notifies
commit at a time, and no claim is to wait for that. The connection that listens must lead to the server
itself: a pooler that gives it another session after every transaction loses what it listens to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from typing import Any

import psycopg

from orchestrator.aio import wait_event
from orchestrator.jobs.ledger.changes import ANY

log = logging.getLogger(__name__)

_CHANNEL = "intarsia_jobs"
_INTERVAL = 0.1  # seconds between two that are sent
_AT_ONCE = 100  # names; PostgreSQL takes 8000 bytes
_BEFORE_RECONNECT = 1.0  # seconds


class Notifications:
    """Hands names on to other processes, and theirs to this one, while `run` runs."""

    def __init__(self, address: str, options: dict[str, Any], hear: Callable[[str], None]) -> None:
        """`hear` is called with names of jobs that others changed, and with ANY when some may have been
        missed."""
        self._address, self._options, self._hear = address, options, hear
        self._pending: dict[str, None] = {}  # in the order in which they changed first
        self._running = False
        self._all_sent = asyncio.Event()
        self._all_sent.set()

    def send(self, name: str) -> None:
        """Tells the others, within a moment, that a job changed."""
        if self._running:
            self._pending[name] = None
            self._all_sent.clear()

    async def all_sent(self, *, within: float) -> bool:
        """True when nothing is left to be told, within so many seconds."""
        return await wait_event(self._all_sent, within=within)

    async def run(self) -> None:
        """Sends and receives until it is cancelled; connects again when the server was away."""
        self._running, reached = True, True
        try:
            while True:
                try:
                    async with await psycopg.AsyncConnection.connect(
                        self._address, autocommit=True, **self._options
                    ) as connection:
                        await connection.execute(f"LISTEN {_CHANNEL}")
                        reached = True
                        self._hear(ANY)
                        await self._exchange(connection)
                except psycopg.Error as error:  # a server that has become a standby refuses to listen
                    if reached:
                        log.warning("no news of other servers' jobs until the database is back: %s", error)
                    reached = False
                await asyncio.sleep(_BEFORE_RECONNECT)
        finally:
            self._running = False

    async def _exchange(self, connection: psycopg.AsyncConnection) -> None:
        while True:
            async for message in connection.notifies(timeout=_INTERVAL):
                if message.pid != connection.info.backend_pid:
                    for name in message.payload.split():
                        self._hear(name)
            if names := list(islice(self._pending, _AT_ONCE)):
                await connection.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, " ".join(names)])
                for name in names:
                    del self._pending[name]
                if not self._pending:
                    self._all_sent.set()
