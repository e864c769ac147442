"""The work of the ledger does not grow with the number of jobs in it.

Counted in what the databases do, not in seconds: instructions of SQLite, rows that PostgreSQL reads in vain.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, text

from orchestrator.jobs.job import JobFilter, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.conftest import job
from tests.postgres import Postgres

NUMBERS = count(1_000_000)
METHODS = ("EditRegion", "FillRegion", "SegmentRegion", "TrackRegion")
FILTERS = (
    JobFilter(),
    JobFilter(states=frozenset({State.QUEUED})),
    JobFilter(states=frozenset({State.RUNNING, State.PAUSED})),
    JobFilter(methods=frozenset({"EditRegion"}), states=frozenset({State.QUEUED, State.FAILED})),
    JobFilter(labels=frozenset({"rare"})),
)


def fill(connection: Connection, waiting: int, finished: int) -> None:
    rows = []
    for n in range(waiting + finished):
        method, ended = METHODS[n % 4], n < finished
        rows.append(
            {"name": f"jobs/0{n:07}", "caller": "me", "method": method, "recipe": "", "kind": "interactive",
             "priority": 0, "labels": "[]", "request": "{}", "sent": "a", "request_id": str(n), "memory": 0,
             "requests": 1, "state": "succeeded" if ended else "queued", "attempt": 0, "owner": "",
             "lane": json.dumps(["me", "interactive", method]), "rank": float(n), "wanted": "",
             "created": float(n), "ended": float(n) if ended else None, "spent": 0.0}
        )  # fmt: skip
    connection.execute(insert(tables.jobs), rows)
    connection.execute(text("UPDATE waiting SET jobs = :n WHERE shard = 0"), {"n": waiting})


async def use(ledger: Ledger, done: Callable[[str], Awaitable[None]]) -> None:
    """Calls what must not become slower, and reports each."""
    for _ in range(2):  # statements are compiled at first
        await ledger.submit(
            job(name=f"jobs/1{next(NUMBERS):07}", labels=("rare",), request_id=str(next(NUMBERS)))
        )
        await done("submit")
        taken = await ledger.claim("owner", 15, lambda jobs: jobs[0].name)
        assert taken is not None
        await done("claim")
        for n, filter in enumerate(FILTERS):
            await ledger.list("me", filter, size=5)
            await done(f"list {n}")
        await ledger.waiting()
        await done("count")
        await ledger.renew([taken[0]], 15)
        await done("renew")
        await ledger.end(taken[0], State.FAILED, spent=1.0)
        await done("end")


async def instructions(path: Path, waiting: int, finished: int) -> dict[str, int]:
    """The instructions of SQLite for each kind of call."""
    database = await Database.open(f"sqlite:///{path}")
    steps, found = [0], {}

    def step() -> int:
        steps[0] += 1
        return 0

    def begin(connection: Connection) -> None:
        fill(connection, waiting, finished)
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 1)

    await database.run(begin)

    async def done(name: str) -> None:
        found[name], steps[0] = steps[0], 0

    steps[0] = 0
    await use(Ledger(database), done)
    await database.close()
    return found


async def test_sqlite_does_no_more_with_many_jobs(tmp_path: Path) -> None:
    few = await instructions(tmp_path / "few", 50, 50)
    many = await instructions(tmp_path / "many", 1000, 10_000)
    grown = {name: (few[name], many[name]) for name in few if many[name] > 1.5 * few[name]}
    assert grown == {}


async def test_postgresql_reads_no_table_from_end_to_end(postgres: Postgres) -> None:
    database = await Database.open(postgres.create())
    await database.run(lambda connection: fill(connection, 1000, 10_000))
    await database.run(lambda connection: connection.execute(text("ANALYZE jobs")))
    found: dict[str, int] = {}

    def scans(connection: Connection) -> int:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        query = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'jobs'::regclass"
        return int(connection.execute(text(query)).scalar_one())

    async def done(name: str) -> None:
        found[name] = await database.read(scans)

    await done("fill")
    await use(Ledger(database), done)
    await database.close()
    assert len(found) > 10
    assert set(found.values()) == {found["fill"]}
