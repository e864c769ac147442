"""Databases that cannot be used, for a while or at all, and their schema."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, inspect, text

from intarsia.errors import Busy, IntarsiaError, InternalError, ModelDown
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger import migrations
from orchestrator.jobs.ledger.database import BadDatabase, Database
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.ledger.tables import metadata
from store.disk_space import DiskSpace
from tests.orchestrator.jobs.ledger.conftest import claim, job
from tests.postgres import Postgres


async def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    def check(connection: Connection) -> None:
        found = inspect(connection)
        assert set(found.get_table_names()) - {"clock"} == set(metadata.tables)
        for table in metadata.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            assert set(columns) == set(table.columns.keys())
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable, column
                assert columns[column.name]["type"].python_type is column.type.python_type, column
            indexes = {one["name"]: one["column_names"] for one in found.get_indexes(table.name)}
            for index in table.indexes:
                assert indexes[str(index.name)] == [column.name for column in index.columns]
            keys = found.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key.columns]

    await database.read(check)


async def test_a_database_is_opened_again_as_it_was(url: str) -> None:
    for _ in range(2):
        database = await Database.open(url)
        ledger = Ledger(database)
        await ledger.submit(job())
        await database.close()
    database = await Database.open(url)
    assert await Ledger(database).waiting() == 2
    await database.close()


async def test_programs_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.create()
    databases = await asyncio.gather(*(Database.open(url) for _ in range(5)))
    await Ledger(databases[0]).submit(job())
    assert await Ledger(databases[4]).waiting() == 1
    for database in databases:
        await database.close()


OF_FIRST_SCHEMA = """
INSERT INTO jobs (
    name, caller, method, recipe, kind, priority, labels, request, sent, memory, requests, state, lane, rank,
    attempt, owner, wanted, created, spent
) VALUES (
    'jobs/1', 'me', 'EditRegion', '1', 'interactive', 0, '[]', '{}', '', 0, 1, 'queued', 'lane', 0,
    0, '', '', 0, 0
)"""


async def test_jobs_of_the_first_schema_go_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
        database = await Database.open(url)
    await database.run(lambda connection: connection.execute(text(OF_FIRST_SCHEMA)))
    await database.close()
    database = await Database.open(url)
    ledger = Ledger(database)
    hold, entry = await claim(ledger, "jobs/1")
    assert (entry.attempt, entry.interruptions) == (1, 0)
    await ledger.remember(hold, "piece", "1")
    assert (await ledger.end(hold, State.SUCCEEDED, spent=1.0)).state is State.SUCCEEDED
    await database.close()


async def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*migrations.MIGRATIONS, ("CREATE TABLE more (name TEXT)", "CREATE TABLE more (name TEXT)"))
    await (await Database.open(url)).close()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", broken)
        with pytest.raises(BadDatabase, match="already exists"):
            await Database.open(url)
    database = await Database.open(url)
    await Ledger(database).submit(job())
    assert not await database.read(lambda connection: inspect(connection).has_table("more"))
    await database.close()


async def test_a_newer_schema_is_refused(url: str) -> None:
    database = await Database.open(url)
    ledger = Ledger(database)
    await ledger.submit(job())
    newer = text("UPDATE meta SET value = '99' WHERE key = 'schema'")
    await database.run(lambda connection: connection.execute(newer))
    await database.close()
    with pytest.raises(BadDatabase, match=r"schema 99.*start the newer program"):
        await Database.open(url)


@pytest.mark.parametrize(
    "url", ["jobs.sqlite", "sqlite://", "sqlite:///:memory:", "mysql://host/jobs", "postgres://host/jobs", ""]
)
async def test_only_two_kinds_of_addresses_are_taken(url: str) -> None:
    with pytest.raises(BadDatabase, match="sqlite:///path or postgresql://"):
        await Database.open(url)


async def test_a_password_is_not_shown() -> None:
    with pytest.raises(BadDatabase) as refused:
        await Database.open("mysql://me:secret@host/jobs")
    assert "secret" not in str(refused.value)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("holiday pictures" * 100)
    with pytest.raises(BadDatabase, match="not a database"):
        await Database.open(f"sqlite:///{tmp_path}/jobs")
    assert (tmp_path / "jobs").read_text() == "holiday pictures" * 100


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadDatabase, match="INTARSIA_JOBS_DATABASE"):
        await Database.open(f"sqlite:///{tmp_path}/file/jobs")


OWNER = """
import asyncio, sys
from orchestrator.jobs.ledger.database import Database
async def own():
    database = await Database.open(sys.argv[1])
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(own())
"""


async def test_one_process_owns_a_file_until_it_dies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs"
    with subprocess.Popen([sys.executable, "-c", OWNER, url], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"open\n"
        with pytest.raises(BadDatabase, match="another process uses"):
            await Database.open(url)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        await (await Database.open(url)).close()


def limit(more: int) -> Any:
    """What makes a disk of SQLite full once so many more pages are written."""

    def work(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}")

    return work


LARGE = '"' + "x" * 100_000 + '"'


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/jobs")
    ledger = Ledger(database)
    kept = await ledger.submit(job(labels=("first",)))
    await database.run(limit(0))
    large = job(request=LARGE)
    with pytest.raises(Busy, match=r"disk of the jobs database is full.*make room"):
        await ledger.submit(large)
    assert [one.name for one in await ledger.list("me")] == [kept.name] and await ledger.waiting() == 1
    await database.run(limit(1000))
    await ledger.submit(large)
    assert await ledger.waiting() == 2
    await database.close()


async def test_a_full_disk_is_freed_before_anything_is_refused(tmp_path: Path) -> None:
    space = DiskSpace(tmp_path)
    database = await Database.open(f"sqlite:///{tmp_path}/jobs", space=space)
    ledger = Ledger(database)
    room = [1000, 0]

    async def free() -> bool:
        await database.run(limit(more := room.pop()))
        return bool(more)

    space.free_by(free)
    with pytest.raises(Busy, match="0 jobs are waiting already"):
        await ledger.submit(job(), waiting=0)
    assert len(room) == 2, "nothing is freed for a queue that is full"
    await database.run(limit(0))
    with pytest.raises(Busy, match="disk of the jobs database is full"):
        await ledger.submit(job(request=LARGE))
    await ledger.submit(job(request=LARGE))
    assert await ledger.waiting() == 1
    await database.close()


async def test_a_full_disk_of_postgresql_is_told(postgres: Postgres) -> None:
    database = await Database.open(postgres.create())
    full = text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left'; END $$")
    with pytest.raises(Busy, match="no space left"):
        await database.run(lambda connection: connection.execute(full))
    await database.close()


async def test_a_read_only_file_is_still_read(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/jobs")
    ledger = Ledger(database)
    kept = await ledger.submit(job())
    await database.read(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
    with pytest.raises(ModelDown, match="read-only"):
        await ledger.submit(job())
    assert await ledger.get("me", kept.name) == kept
    await database.read(lambda connection: connection.exec_driver_sql("PRAGMA query_only=OFF"))
    await ledger.submit(job())
    await database.close()


async def test_a_read_only_server_is_still_read(postgres: Postgres) -> None:
    url = postgres.create()
    database = await Database.open(url)
    ledger = Ledger(database)
    kept = await ledger.submit(job())
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        user = url.partition("//")[2].partition("@")[0]
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        for read_only in ("on", "off"):
            change = f"ALTER ROLE {user} SET default_transaction_read_only = {read_only}"
            connection.execute(change.encode())
            connection.execute(cut, [user])
            if read_only == "on":
                with pytest.raises(ModelDown, match="read-only"):
                    await ledger.submit(job())
                assert await ledger.get("me", kept.name) == kept
    await ledger.submit(job())
    await database.close()


async def test_a_server_that_went_away_is_found_again(own_postgres: Postgres) -> None:
    database = await Database.open(own_postgres.create())
    ledger = Ledger(database)
    hold, _ = await claim(ledger, (await ledger.submit(job())).name)
    await ledger.remember(hold, "piece", "1")
    await asyncio.to_thread(own_postgres.stop, "immediate")
    for call in (ledger.waiting, lambda: ledger.submit(job()), lambda: ledger.report(hold, "{}")):
        with pytest.raises(ModelDown, match="out of reach"):
            await call()
    await asyncio.to_thread(own_postgres.start)
    assert await ledger.memory(hold.name) == {"piece": "1"}
    assert (await ledger.end(hold, State.SUCCEEDED, spent=1.0, result="1")).state is State.SUCCEEDED
    await ledger.submit(job())
    await database.close()


async def test_a_server_that_is_away_at_the_start_is_waited_for(own_postgres: Postgres) -> None:
    """Whoever opens it decides for how long."""
    url = own_postgres.create()
    await asyncio.to_thread(own_postgres.stop)
    with pytest.raises(ModelDown, match="out of reach"):
        await Database.open(url)
    await asyncio.to_thread(own_postgres.start)
    await (await Database.open(url)).close()


async def test_a_connection_that_breaks_between_two_calls_is_not_noticed(postgres: Postgres) -> None:
    url = postgres.create()
    database = await Database.open(url)
    ledger = Ledger(database)
    await ledger.submit(job())
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        user = url.partition("//")[2].partition("@")[0]
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user]
        )
    await ledger.submit(job())
    assert await ledger.waiting() == 2
    await database.close()


async def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/jobs")

    def settings(connection: Connection) -> tuple[str, int, int]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names)  # type: ignore

    assert await database.read(settings) == ("wal", 2, 1)
    kept = await Ledger(database).submit(job())
    with sqlite3.connect(f"file:{tmp_path}/jobs?mode=ro", uri=True) as other:
        assert other.execute("SELECT name FROM jobs").fetchall() == [(kept.name,)]
    await database.close()


async def test_every_refusal_is_one_of_ours(database: Database) -> None:
    with pytest.raises(IntarsiaError, match="nowhere"):
        await database.run(lambda connection: connection.execute(text("SELECT * FROM nowhere")))


async def test_a_refusal_quotes_no_values(database: Database) -> None:
    """They would be in the log: requests hold instructions."""
    values = {"words": "make it blue"}
    with pytest.raises(IntarsiaError) as refused:
        await database.run(lambda connection: connection.execute(text("SELECT :words FROM nowhere"), values))
    assert values["words"] not in "".join(traceback.format_exception(refused.value))


async def test_a_text_that_postgresql_cannot_keep_is_not_taken_for_an_outage(postgres: Postgres) -> None:
    database = await Database.open(postgres.create())
    with pytest.raises(InternalError, match="NUL"):
        await Ledger(database).list("me", before="jobs/\0")
    await database.close()
