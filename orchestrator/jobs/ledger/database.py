"""The database of the ledger: a file of SQLite that one process owns, or PostgreSQL that several share."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, func, literal
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.types import Double

from intarsia.errors import InternalError
from orchestrator.jobs.ledger.failures import is_passing, presented
from orchestrator.jobs.ledger.migrations import NewerSchema, migrate
from store.disk_space import DiskSpace

T = TypeVar("T")

# How to connect to PostgreSQL.
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    # A server that vanished without a word is noticed in half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c lock_timeout=10s -c statement_timeout=30s",
    # A pooler between may give every transaction to another session.
    "prepare_threshold": None,
}
_CONNECTIONS = 4  # to PostgreSQL
_ATTEMPTS = 5  # of a transaction that PostgreSQL gave up for the sake of another one


class BadDatabase(Exception):
    """The database cannot be used: the server does not start with it. The message says what to do."""


class Database:
    """Runs transactions in threads. `await Database.open(url)` gives one that is up to date."""

    def __init__(
        self,
        url: URL,
        engine: Engine,
        threads: int,
        clock: Callable[[], float],
        space: DiskSpace | None,
        lock: int,
    ) -> None:
        """Use `open`. `lock`: the descriptor that owns the file, -1 for PostgreSQL."""
        self._url = url
        self.is_shared = lock < 0  # among processes: leases decide who runs a job
        self._engine, self._clock, self._space, self._lock = engine, clock, space, lock
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ledger")

    @classmethod
    async def open(
        cls, url: str, *, clock: Callable[[], float] = time.time, space: DiskSpace | None = None
    ) -> Database:
        """The database at `sqlite:///path` or `postgresql://user:password@host/name`, its schema up to date.

        `clock` is asked on SQLite; PostgreSQL has its own. `space`: of a disk, to be freed when that of
        the database is full, because it may be the same. Raises BadDatabase if it cannot be used as it is,
        ModelDown while it is out of reach.
        """
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            assert parsed.database
            lock = _own(Path(parsed.database))
            database = cls(parsed, _sqlite(parsed), 1, clock, space, lock)
        else:
            database = cls(parsed, _postgresql(parsed), _CONNECTIONS, clock, space, -1)
        try:
            await database.run(migrate)
        except (NewerSchema, InternalError) as error:
            await database.close()
            raise BadDatabase(str(error)) from None
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def address(self) -> str:
        """The address of a PostgreSQL, as psycopg takes it."""
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

    @property
    def now(self) -> ColumnElement[float]:
        """The time, for queries: PostgreSQL's own, or that of this process on SQLite."""
        if self.is_shared:
            return func.extract("epoch", func.clock_timestamp()).cast(Double)
        return literal(self._clock(), Double)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, run in one transaction. It may be run again, and must do nothing else.

        Raises ModelDown, or Busy when the disk is full: then nothing was written, or it is not known whether
        it was, after the connection broke.
        """
        return await self._in_thread(partial(self._transact, work, {}))

    async def note(self, work: Callable[[Connection], T]) -> T:
        """Like `run`, but the disk need not follow: a machine that fails in the next second may forget it."""
        return await self._in_thread(partial(self._transact, work, {"durable": False}))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, run in one transaction that only reads: no disk has to follow."""
        return await self._in_thread(partial(self._transact, work, {"reads": True}))

    async def close(self) -> None:
        """Waits for the transactions that run, and gives the file to the next process."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _in_thread(self, work: Callable[[], T]) -> T:
        run = partial(asyncio.get_running_loop().run_in_executor, self._threads, work)
        return await (run() if self._space is None else self._space.retry(run))

    def _transact(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        for attempt in range(_ATTEMPTS):
            try:
                with self._engine.connect().execution_options(**options) as connection, connection.begin():
                    return work(connection)
            except DBAPIError as error:
                if not is_passing(error) or attempt == _ATTEMPTS - 1:
                    raise presented(error) from error
        raise AssertionError("unreachable")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadDatabase(
            "the jobs database must be sqlite:///path or postgresql://user:password@host/name"
        ) from None
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise BadDatabase(
        f"the jobs database must be sqlite:///path or postgresql://user:password@host/name, "
        f"not {parsed.render_as_string()}"
    )


def _own(path: Path) -> int:
    """Locks the file for this process. The system releases it when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BadDatabase(
            f"the jobs database {path} cannot be opened ({error}); set INTARSIA_JOBS_DATABASE to a file in a "
            "folder that may be written"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BadDatabase(
            f"another process uses the jobs database {path}: stop it, or set INTARSIA_JOBS_DATABASE to "
            "another file; several servers can share one of PostgreSQL"
        ) from None
    return lock


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url, pool_size=1, max_overflow=0, hide_parameters=True, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not in the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        level = "FULL" if options.get("durable", True) else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.exec_driver_sql("BEGIN" if options.get("reads", False) else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=CONNECTION,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("durable", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

    return engine
