"""Which transactions wait for the disk."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from orchestrator.jobs.ledger.database import Database

NORMAL, FULL = 1, 2


def level(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())


async def test_what_was_acknowledged_is_on_the_disk_and_progress_need_not_be(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/jobs.sqlite")
    assert await database.run(level) == FULL
    assert await database.note(level) == NORMAL
    assert await database.run(level) == FULL
    await database.close()
