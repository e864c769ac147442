"""Claims: which jobs may be run, in which order, and the statement that takes one.

A claim orders by level, then by the number of jobs that the caller has running, then by rank. The level of a
job is the number of whole ten minutes since its rank, so it grows while the job waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import floor
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    and_,
    func,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger.entry import ClaimableJob, Entry, Hold, Wish
from orchestrator.jobs.ledger.rows import LEVEL_SECONDS, count, entry, jobs

# The first so many of each lane are candidates: a few may have to wait for memory that a younger one spares.
_OF_LANE = 8
_LANES_AT_ONCE = 50  # SQLite joins 500 selects at most
_FACTS = tuple(
    jobs.c[name]
    for name in (
        *("name", "caller", "method", "kind", "memory", "requests"),
        *("interruptions", "rank", "state", "lease"),
    )
)


def candidates(connection: Connection, now: ColumnElement[float]) -> list[ClaimableJob]:
    """The jobs that may be claimed, in order: those that wait, and those whose lease ran out."""
    moment = connection.execute(select(now)).scalar_one()
    running = connection.execute(select(*_FACTS).where(jobs.c.state == State.RUNNING.value)).all()
    expired = [row for row in running if row.lease is not None and row.lease < moment]
    of_caller = Counter(row.caller for row in running) - Counter(row.caller for row in expired)

    def order(row: Row[Any]) -> tuple[int, int, float, str]:
        return (-floor((moment - row.rank) / LEVEL_SECONDS), of_caller[row.caller], row.rank, row.name)

    return [
        ClaimableJob(
            name=row.name,
            method=row.method,
            kind=Kind(row.kind),
            memory=row.memory,
            requests=row.requests,
            interruptions=row.interruptions,
            expired=row.state == State.RUNNING.value,
        )
        for row in sorted([*expired, *_first(connection)], key=order)
    ]


def take(
    connection: Connection, name: str, owner: str, lease: float | None, now: ColumnElement[float]
) -> tuple[Hold, Entry] | None:
    """The job, claimed; None if another owner was quicker. `lease`: seconds, None if it never runs out."""
    claimable = or_(
        jobs.c.state == State.QUEUED.value,
        (jobs.c.state == State.RUNNING.value) & (jobs.c.lease < now),
    )
    query = select(jobs.c.state).where(jobs.c.name == name, claimable).with_for_update(skip_locked=True)
    state = connection.execute(query).scalar_one_or_none()
    if state is None:
        return None
    values = {
        "state": State.RUNNING.value,
        "owner": owner,
        "attempt": jobs.c.attempt + 1,
        "interruptions": jobs.c.interruptions + int(state == State.RUNNING.value),
        "lease": None if lease is None else now + lease,
        "started": func.coalesce(jobs.c.started, now),
    }
    row = connection.execute(update(jobs).where(jobs.c.name == name).values(values).returning(jobs)).one()
    if state == State.QUEUED.value:
        count(connection, -1)
    return Hold(name, owner, row.attempt), entry(row)


def renew(
    connection: Connection, holds: Collection[Hold], lease: float | None, now: ColumnElement[float]
) -> dict[Hold, Wish]:
    """Those of the holds that are still valid, with leases renewed, and what is wanted of each."""
    facts = jobs.c.name, jobs.c.owner, jobs.c.attempt, jobs.c.wanted
    held = and_(
        jobs.c.name.in_([hold.name for hold in holds]),  # the index finds them
        tuple_(*facts[:3]).in_([(hold.name, hold.owner, hold.attempt) for hold in holds]),
        jobs.c.state == State.RUNNING.value,
    )
    statement: Executable = select(*facts).where(held)
    if lease is not None:
        statement = update(jobs).where(held).values(lease=now + lease).returning(*facts)
    return {
        Hold(row.name, row.owner, row.attempt): Wish(row.wanted)
        for row in connection.execute(statement).all()
    }


def _first(connection: Connection) -> list[Row[Any]]:
    """The first jobs of every lane in which one waits."""
    lanes = connection.execute(_LANES).scalars().all()
    found: list[Row[Any]] = []
    for n in range(0, len(lanes), _LANES_AT_ONCE):
        heads = [_head(lane).subquery().select() for lane in lanes[n : n + _LANES_AT_ONCE]]
        found += connection.execute(union_all(*heads)).all()
    return found


def _head(lane: str) -> Select[Any]:
    waits = jobs.c.state == State.QUEUED.value
    return select(*_FACTS).where(waits, jobs.c.lane == lane).order_by(jobs.c.rank).limit(_OF_LANE)


def _lanes() -> Select[Any]:
    """The lanes in which a job waits. Each is found from the one before, so that no other row is read."""
    waits = jobs.c.state == State.QUEUED.value
    lanes = select(func.min(jobs.c.lane).label("lane")).where(waits).cte("lanes", recursive=True)
    after = select(func.min(jobs.c.lane)).where(waits, jobs.c.lane > lanes.c.lane).scalar_subquery()
    lanes = lanes.union_all(select(after).where(lanes.c.lane.is_not(None)))
    return select(lanes.c.lane).where(lanes.c.lane.is_not(None))


_LANES = _lanes()
