"""Failures of the database, in the words of the server's errors."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError

from intarsia.errors import Busy, IntarsiaError, InternalError, ModelDown
from store.disk_space import DISK_FULL

# By SQLSTATE of PostgreSQL: a transaction that another one was preferred to, or was quicker than.
_PASSING = {"40001", "40P01", "23505"}
_FULL = {"53100"}
_READ_ONLY = {"25006"}
# Of these classes, the server is away or about to go; so it is if there is no SQLSTATE, unless psycopg itself
# refused a value.
_AWAY = ("08", "53", "55", "57", "58")


def is_passing(error: DBAPIError) -> bool:
    """True if the same transaction may succeed at once when it is tried again."""
    return _sqlstate(error) in _PASSING


def presented(error: DBAPIError) -> IntarsiaError:
    """The error that clients and the log get."""
    reason = str(error.orig).strip().partition("\n")[0]
    if _is_full(error):
        return Busy(
            f"the disk of the jobs database is full ({reason}); make room there, and try again then",
            **DISK_FULL,
        )
    if _is_read_only(error):
        return ModelDown(
            f"the jobs database is read-only ({reason}); make it writable: its file and its folder, or the "
            "server's default_transaction_read_only. Until then no job is taken or changed"
        )
    if _is_away(error):
        return ModelDown(
            f"the jobs database is out of reach ({reason}); it is asked again, try again in a moment"
        )
    return InternalError(f"the jobs database refused a statement: {reason}")


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _says(error: DBAPIError, *texts: str) -> bool:
    """True if SQLite says so: Python 3.10 does not hand on its result codes."""
    return isinstance(error.orig, sqlite3.Error) and any(text in str(error.orig) for text in texts)


def _is_full(error: DBAPIError) -> bool:
    # The second is a file that SQLite needs beside its own, and that a start makes.
    return (
        _sqlstate(error) in _FULL
        or _says(error, "disk is full")
        or getattr(error.orig, "sqlite_errorname", "") == "SQLITE_IOERR_SHMSIZE"
    )


def _is_read_only(error: DBAPIError) -> bool:
    return _sqlstate(error) in _READ_ONLY or _says(error, "readonly")


def _is_away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return _says(error, "is locked", "unable to open", "disk I/O error")
    state = _sqlstate(error)
    if not state:
        return not isinstance(error, DataError)
    return error.connection_invalidated or state.startswith(_AWAY)
