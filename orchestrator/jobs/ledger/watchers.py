"""Watchers' leases: a job that asked for one is cancelled when nobody has watched it for so long.

Jobs that have ended, or that were retried, have none.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, select, update

from orchestrator.jobs.ledger import wishes
from orchestrator.jobs.ledger.entry import Entry, WatchLease, Wish
from orchestrator.jobs.ledger.rows import entry, jobs

_HELD = jobs.c.watched_until.is_not(None)


def leases(connection: Connection, below: float, now: ColumnElement[float]) -> tuple[float, list[WatchLease]]:
    """The time, and the leases of which less than this share is left, those first that run out first."""
    moment = float(connection.execute(select(now)).scalar_one())
    facts = jobs.c.name, jobs.c.watched_within, jobs.c.watched_until
    low = _HELD & (jobs.c.watched_until < moment + below * jobs.c.watched_within)
    found = connection.execute(select(*facts).where(low).order_by(jobs.c.watched_until)).all()
    return moment, [WatchLease(row.name, row.watched_within, row.watched_until) for row in found]


def renew(connection: Connection, names: Collection[str] | None, now: ColumnElement[float]) -> None:
    """Grants full leases from now on; `names` is None for all."""
    held = _HELD if names is None else _HELD & jobs.c.name.in_(list(names))
    connection.execute(update(jobs).where(held).values(watched_until=now + jobs.c.watched_within))


def cancel(connection: Connection, name: str, failure: str, now: ColumnElement[float]) -> Entry | None:
    """The job, cancelled or to be cancelled by its owner; None if it was watched in the meantime."""
    over = (jobs.c.name == name) & (jobs.c.watched_until < now)
    if connection.execute(select(jobs.c.name).where(over).with_for_update()).one_or_none() is None:
        return None
    free = update(jobs).where(jobs.c.name == name).values(watched_until=None).returning(jobs)
    job = entry(connection.execute(free).one())
    return job if job.wanted.ends_the_job else wishes.want(connection, job, Wish.UNWATCHED, failure, now)
