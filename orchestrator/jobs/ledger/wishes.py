"""Wishes of callers for their jobs: cancel, pause, resume, retry. A job that waits obeys at once; of one that
runs, the wish is written down for its owner."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, update

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.entry import Entry, Wish
from orchestrator.jobs.ledger.rows import LEVEL_SECONDS, count, entry, jobs


def want(
    connection: Connection, job: Entry, wish: Wish, failure: str | None, now: ColumnElement[float]
) -> Entry:
    """The job after a pause or a cancel. A finished one stays. `failure`: of one that is cancelled."""
    if job.state is State.RUNNING:
        # A cancel is never taken back by a pause.
        if wish is Wish.PAUSE and job.wanted is not Wish.NOTHING:
            return job
        return _change(connection, job, {"wanted": wish.value})
    if job.state.is_final or (wish is Wish.PAUSE and job.state is State.PAUSED):
        return job
    if wish is Wish.PAUSE:
        # One that was handed back before it could obey a cancel is still to be cancelled.
        return (
            job if job.wanted is not Wish.NOTHING else _change(connection, job, {"state": State.PAUSED.value})
        )
    if wish is Wish.KEEP_PARTIAL and job.attempt:
        # Only a recipe can make a result of what is there: the next owner does, and ends the job.
        return _change(connection, job, {"state": State.QUEUED.value, "wanted": wish.value})
    values = {"state": State.CANCELLED.value, "ended": now, "failure": failure, "watched_until": None}
    return _change(connection, job, values)


def resume(connection: Connection, job: Entry, now: ColumnElement[float]) -> Entry:
    """The job after its pause, or after the wish for one was taken back. Others stay as they are."""
    if job.state is State.PAUSED:
        return _change(connection, job, {"state": State.QUEUED.value, "rank": _rank(job, now)})
    if job.state is State.RUNNING and job.wanted is Wish.PAUSE:
        return _change(connection, job, {"wanted": Wish.NOTHING.value})
    return job


def retry(connection: Connection, job: Entry, now: ColumnElement[float]) -> Entry:
    """The job, waiting again with all it remembers, if it failed or was cancelled. Others stay."""
    if job.state not in (State.FAILED, State.CANCELLED):
        return job
    values = {
        "state": State.QUEUED.value,
        "rank": _rank(job, now),
        "wanted": Wish.NOTHING.value,
        "owner": "",
        "interruptions": 0,
        "ended": None,
        "failure": None,
        "result": None,
        "spent": 0.0,  # its time limit counts anew
    }
    return _change(connection, job, values)


def _rank(job: Entry, now: ColumnElement[float]) -> ColumnElement[float]:
    """The rank of a job that waits from now on: it gains no level for the time before."""
    return now - LEVEL_SECONDS * job.priority


def _change(connection: Connection, job: Entry, values: dict[str, Any]) -> Entry:
    row = connection.execute(update(jobs).where(jobs.c.name == job.name).values(values).returning(jobs)).one()
    changed = entry(row)
    count(connection, (changed.state is State.QUEUED) - (job.state is State.QUEUED))
    return changed
