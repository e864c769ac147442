"""Changes of jobs, told to other processes that share a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.changes import ANY
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.conftest import claim, job
from tests.postgres import Postgres


@asynccontextmanager
async def listener(url: str) -> AsyncIterator[tuple[Ledger, asyncio.Queue[str]]]:
    """Another process, as far as the database can tell, and the names it heard since it is connected."""
    database = await Database.open(url)
    ledger = Ledger(database)
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen() -> None:
        async for name in ledger.changes():
            heard.put_nowait(name)

    tasks = [asyncio.ensure_future(listen())]
    await asyncio.sleep(0)  # until it listens
    tasks.append(asyncio.ensure_future(ledger.exchange()))
    assert await heard.get() == ANY
    yield ledger, heard
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()


async def test_other_processes_hear_of_every_kind_of_change(postgres: Postgres) -> None:
    url = postgres.create()
    async with listener(url) as (ledger, own), listener(url) as (_, heard):
        name = (await ledger.submit(job())).name
        assert await heard.get() == name
        hold, _ = await claim(ledger, name)
        assert await heard.get() == name
        await ledger.report(hold, "{}")
        assert await heard.get() == name
        await ledger.end(hold, State.SUCCEEDED, spent=1.0)
        assert await heard.get() == name
        # Their own changes are not told to them a second time.
        other = (await ledger.submit(job())).name
        assert await heard.get() == other
        assert [own.get_nowait() for _ in range(own.qsize())].count(other) == 1


async def test_many_changes_are_told_together(postgres: Postgres) -> None:
    url = postgres.create()
    async with listener(url) as (ledger, _), listener(url) as (_, heard):
        names = {(await ledger.submit(job())).name for _ in range(250)}
        while names:
            names.discard(await heard.get())


async def test_who_was_cut_off_is_told_that_something_was_missed(own_postgres: Postgres) -> None:
    url = own_postgres.create()
    async with listener(url) as (_, heard):
        await asyncio.to_thread(own_postgres.stop, "immediate")
        await asyncio.to_thread(own_postgres.start)
        assert await heard.get() == ANY
        async with listener(url) as (other, _):
            name = (await other.submit(job())).name
            assert await heard.get() == name


async def test_a_server_that_refuses_to_listen_is_asked_again(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby does, until it is the primary."""
    connect, refusals = psycopg.AsyncConnection.connect, iter([psycopg.errors.ReadOnlySqlTransaction()])

    async def refuse_once(*arguments: Any, **options: Any) -> psycopg.AsyncConnection:
        for refusal in refusals:
            raise refusal
        return await connect(*arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse_once)
    async with listener(postgres.create()):
        assert next(refusals, None) is None
