"""The database's own account of a run: triggers that note every claim and every end, whoever makes them.

What the orchestrators believe, log and answer does not count here; only which changes the database took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from benchmarks.kill_jobs.findings import Findings

_ENDS = ("succeeded", "failed", "cancelled")
_FINAL = f"({', '.join(map(repr, _ENDS))})"
_TABLE = """CREATE TABLE audit (
    number {number}, name TEXT NOT NULL, lane TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
    attempt INTEGER NOT NULL, state TEXT NOT NULL
)"""
_VALUES = (
    "(name, lane, created, attempt, state) VALUES (NEW.name, NEW.lane, NEW.created, NEW.attempt, NEW.state)"
)
# A claim changes the attempt, and so does one of a job whose lease ran out: its state stays.
_CHANGED = "(OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt)"
_SQLITE = (
    _TABLE.format(number="INTEGER PRIMARY KEY AUTOINCREMENT"),
    f"""CREATE TRIGGER audit AFTER UPDATE ON jobs WHEN {_CHANGED}
    BEGIN INSERT INTO audit {_VALUES}; END""",
)
_POSTGRESQL = (
    _TABLE.format(number="BIGSERIAL PRIMARY KEY"),
    f"""CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit {_VALUES}; RETURN NULL; END $$""",
    f"""CREATE TRIGGER audit AFTER UPDATE ON jobs FOR EACH ROW WHEN {_CHANGED}
    EXECUTE FUNCTION audit()""",
)


@dataclass(frozen=True)
class AuditLine:
    """A change of a job that the database took: a claim, a return to the queue, or an end."""

    name: str
    lane: str  # jobs of one lane are claimed in the order of their submission
    created: float
    attempt: int
    state: str


@dataclass
class Account:
    """All changes, in their order, and what is left in the tables."""

    lines: list[AuditLine] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)  # rows that belong to no job
    references: frozenset[str] = frozenset()  # the digests of all artifacts that a job refers to

    @property
    def takeovers(self) -> int:
        """How often a job that had begun was claimed once more."""
        return sum(line.state == "running" and line.attempt > 1 for line in self.lines)


def begin_audit(url: str) -> None:
    """Adds the triggers to a database that has its tables, beside the processes that use it."""
    with _connected(url) as connection:
        for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
            connection.execute(text(statement))


def read_account(url: str) -> Account:
    """What was noted, and what the tables hold now."""
    with _connected(url) as connection:
        rows = connection.execute(
            text("SELECT name, lane, created, attempt, state FROM audit ORDER BY number")
        ).all()
        unfinished = connection.execute(
            text(f"SELECT name || ' ' || state FROM jobs WHERE state NOT IN {_FINAL}")
        )
        account = Account([AuditLine(*row) for row in rows], list(unfinished.scalars()))
        for table in ("labels", "stages", "job_references"):
            left = text(f"SELECT job FROM {table} WHERE job NOT IN (SELECT name FROM jobs)")
            account.orphans += [f"{table} of {job}" for job in connection.execute(left).scalars()]
        names = connection.execute(text("SELECT artifact FROM job_references")).scalars()
        account.references = frozenset(name.rpartition("/")[2] for name in names)
        waiting = connection.execute(text("SELECT SUM(jobs) FROM waiting")).scalar_one()
        if waiting != sum(" queued" in one for one in account.unfinished):
            account.orphans.append(f"the number of jobs that wait is {waiting}")
    return account


def check_account(findings: Findings, account: Account, *, in_order: bool) -> None:
    """Adds jobs that ended twice, or never, or began before an older one of their lane; `in_order` says
    whether a single process claimed them all."""
    ends = Counter(line.name for line in account.lines if line.state in _ENDS)
    findings.add("finished twice", (name for name, count in ends.items() if count > 1))
    findings.add("unfinished", account.unfinished)
    findings.add("orphaned rows", account.orphans)
    findings.add("out of order", _overtaken(account.lines) if in_order else ())


def _overtaken(lines: Iterable[AuditLine]) -> list[str]:
    """Jobs whose first claim came after that of a younger one of their lane."""
    latest: dict[str, float] = {}
    late = []
    for line in lines:
        if line.state == "running" and line.attempt == 1:
            if line.created < latest.get(line.lane, 0.0):
                late.append(line.name)
            latest[line.lane] = max(line.created, latest.get(line.lane, 0.0))
    return late


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A transaction of its own; a file of SQLite is opened beside the process that owns it."""
    engine = create_engine(make_url(url.replace("postgresql://", "postgresql+psycopg://", 1)))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
