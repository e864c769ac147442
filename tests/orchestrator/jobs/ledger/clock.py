"""A clock that tests set: of this process for SQLite, of the database for PostgreSQL."""

from __future__ import annotations

import psycopg

_REPLACEMENT = """
CREATE TABLE clock (moment double precision);
INSERT INTO clock VALUES (0);
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT to_timestamp(moment) FROM clock';
"""


class Clock:
    """The time at a database's address, from the first moment on that the database is opened."""

    def __init__(self, url: str, moment: float = 1e9) -> None:
        self._moment = moment
        self._connection: psycopg.Connection | None = None
        if url.startswith("postgresql"):
            self._connection = psycopg.connect(url, autocommit=True)
            # What the search path finds first is what the ledger calls: its SQL is the one of the product.
            self._connection.execute(_REPLACEMENT)
            user = self._connection.info.user
            self._connection.execute(f"ALTER ROLE {user} SET search_path = {user}, pg_catalog".encode())
            self.set(moment)

    def __call__(self) -> float:
        return self._moment

    def move(self, seconds: float) -> None:
        """Moves the time forward, or backward."""
        self.set(self._moment + seconds)

    def set(self, moment: float) -> None:
        """Sets the time, in seconds since 1970."""
        self._moment = moment
        if self._connection is not None:
            self._connection.execute("UPDATE clock SET moment = %s", [self._moment])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
