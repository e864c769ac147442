"""Counts the commits for which a database has to wait for its disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event


@contextmanager
def durable_commits() -> Iterator[list[None]]:
    """Gives a list that grows by one with every durable commit of this process, of any database."""
    counted: list[None] = []
    changed: dict[int, int] = {}

    def begins(connection: Connection) -> None:
        changed[id(connection)] = _changes(connection)

    def ends(connection: Connection) -> None:
        if _changes(connection) != changed.pop(id(connection)) and _waits(connection):
            counted.append(None)

    event.listen(Engine, "begin", begins)
    event.listen(Engine, "commit", ends)
    try:
        yield counted
    finally:
        event.remove(Engine, "begin", begins)
        event.remove(Engine, "commit", ends)


def _changes(connection: Connection) -> int:
    """A number that differs after the transaction has changed a row."""
    if connection.dialect.name == "sqlite":
        return int(connection.connection.dbapi_connection.total_changes)  # type: ignore[union-attr]
    number = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned()").scalar_one()
    return 0 if number is None else int(number)


def _waits(connection: Connection) -> bool:
    """True if the commit of this transaction waits for the disk."""
    if connection.dialect.name == "sqlite":
        return bool(connection.exec_driver_sql("PRAGMA synchronous").scalar_one() >= 2)  # FULL
    # Only its own setting counts: a server for tests may wait for no commit at all.
    query = "SELECT source <> 'session' FROM pg_settings WHERE name = 'synchronous_commit'"
    return bool(connection.exec_driver_sql(query).scalar_one())
