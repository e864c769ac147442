"""Migrations: the steps from every earlier schema of the ledger to the present one.

A step that was released is never changed. Their SQL is understood by SQLite and PostgreSQL alike.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from orchestrator.jobs.ledger.tables import SHARDS

# Each migration is a number of statements; the schema's version is the number of those that were applied.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE jobs (
            name TEXT PRIMARY KEY NOT NULL,
            caller TEXT NOT NULL,
            method TEXT NOT NULL,
            recipe TEXT NOT NULL,
            kind TEXT NOT NULL,
            priority INTEGER NOT NULL,
            labels TEXT NOT NULL,
            request TEXT NOT NULL,
            sent TEXT NOT NULL,
            request_id TEXT,
            time_limit DOUBLE PRECISION,
            memory BIGINT NOT NULL,
            requests INTEGER NOT NULL,
            state TEXT NOT NULL,
            lane TEXT NOT NULL,
            rank DOUBLE PRECISION NOT NULL,
            attempt INTEGER NOT NULL,
            owner TEXT NOT NULL,
            lease DOUBLE PRECISION,
            wanted TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL,
            started DOUBLE PRECISION,
            ended DOUBLE PRECISION,
            spent DOUBLE PRECISION NOT NULL,
            progress TEXT,
            failure TEXT,
            result TEXT,
            CONSTRAINT jobs_request_id UNIQUE (caller, request_id)
        )""",
        "CREATE INDEX jobs_claim ON jobs (state, lane, rank)",
        "CREATE INDEX jobs_caller ON jobs (caller, name)",
        "CREATE INDEX jobs_state ON jobs (caller, state, name)",
        "CREATE INDEX jobs_method ON jobs (caller, method, state, name)",
        "CREATE INDEX jobs_ended ON jobs (ended)",
        """CREATE TABLE labels (
            job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
            label TEXT NOT NULL,
            PRIMARY KEY (job, label)
        )""",
        "CREATE INDEX labels_label ON labels (label, job)",
        """CREATE TABLE stages (
            job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (job, key)
        )""",
        """CREATE TABLE job_references (
            job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
            key TEXT NOT NULL,
            artifact TEXT NOT NULL,
            kind TEXT NOT NULL,
            PRIMARY KEY (job, key, artifact, kind)
        )""",
        "CREATE INDEX job_references_artifact ON job_references (artifact)",
        "CREATE INDEX job_references_kind ON job_references (kind, job)",
        "CREATE TABLE waiting (shard INTEGER PRIMARY KEY NOT NULL, jobs BIGINT NOT NULL)",
        *(f"INSERT INTO waiting (shard, jobs) VALUES ({shard}, 0)" for shard in range(SHARDS)),
    ),
    ("ALTER TABLE jobs ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0",),
    (
        "ALTER TABLE jobs ADD COLUMN watched_within DOUBLE PRECISION",
        "ALTER TABLE jobs ADD COLUMN watched_until DOUBLE PRECISION",
        "CREATE INDEX jobs_watched ON jobs (watched_until) WHERE watched_until IS NOT NULL",
    ),
)

_LOCK = 5_215_310_976  # of PostgreSQL, while one program migrates; any number that nobody else uses


class NewerSchema(Exception):
    """The database was written by a newer program."""


def migrate(connection: Connection) -> None:
    """Brings the schema up to date, within the transaction of the connection.

    Several programs may do so at once: the others wait. Raises NewerSchema.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    present = _version(connection)
    if present > len(MIGRATIONS):
        raise NewerSchema(
            f"the jobs database has schema {present}, and this program knows {len(MIGRATIONS)} at most: "
            "start the newer program again, or set INTARSIA_JOBS_DATABASE to another database"
        )
    if present == len(MIGRATIONS):
        return
    for statements in MIGRATIONS[present:]:
        for statement in statements:
            connection.execute(text(statement))
    connection.execute(
        text("UPDATE meta SET value = :version WHERE key = 'schema'"), {"version": str(len(MIGRATIONS))}
    )


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table("meta"):
        connection.execute(text("CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"))
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('schema', '0')"))
    return int(connection.execute(text("SELECT value FROM meta WHERE key = 'schema'")).scalar_one())
