"""Rows of the tables, to entries and back, and the statements that several operations share."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.entry import Entry, Hold, Lost, NewJob, Reference, ReferenceKind, Wish

LEVEL_SECONDS = 600.0  # a job gains one level of priority for so long a wait

# Keys of references that belong to no stage.
INPUTS, PROGRESS, RESULT = "<inputs>", "<progress>", "<result>"

jobs = tables.jobs


def entry(row: Row[Any]) -> Entry:
    """The job of a row."""
    values = row._asdict()
    return Entry(
        **{name: values[name] for name in _SAME},
        kind=Kind(values["kind"]),
        labels=tuple(json.loads(values["labels"])),
        request_id=values["request_id"] or "",
        state=State(values["state"]),
        wanted=Wish(values["wanted"]),
        spent=float(values["spent"]),
    )


_SAME = (
    *(
        "name",
        "caller",
        "method",
        "request",
        "sent",
        "recipe",
        "priority",
        "time_limit",
        "watched_within",
        "memory",
        "requests",
    ),
    *("attempt", "interruptions", "owner", "created", "started", "ended", "progress", "failure", "result"),
)


def add(connection: Connection, new: NewJob, now: ColumnElement[float]) -> Entry:
    """The job, inserted: it waits from now on."""
    values = {
        "name": new.name,
        "caller": new.caller,
        "method": new.method,
        "recipe": new.recipe,
        "kind": new.kind.value,
        "priority": new.priority,
        "labels": json.dumps(new.labels),
        "request": new.request,
        "sent": new.sent,
        "request_id": new.request_id or None,
        "time_limit": new.time_limit,
        "watched_within": new.watched_within,
        "watched_until": None if new.watched_within is None else now + new.watched_within,
        "memory": new.memory,
        "requests": new.requests,
        "state": State.QUEUED.value,
        "lane": json.dumps([new.caller, new.kind.value, new.method]),
        "rank": now - LEVEL_SECONDS * new.priority,
        "attempt": 0,
        "interruptions": 0,
        "owner": "",
        "wanted": Wish.NOTHING.value,
        "created": now,
        "spent": 0.0,
    }
    row = connection.execute(insert(jobs).values(values).returning(jobs)).one()
    if new.labels:
        labels = [{"job": new.name, "label": label} for label in sorted(set(new.labels))]
        connection.execute(insert(tables.labels), labels)
    inputs = [Reference(artifact, ReferenceKind.INPUT) for artifact in new.inputs]
    refer(connection, new.name, INPUTS, inputs)
    count(connection, 1)
    return entry(row)


def find(connection: Connection, caller: str, name: str, *, lock: bool = False) -> Entry | None:
    """The job of a caller; `lock` keeps all others from changing it until the transaction ends."""
    query = select(jobs).where(jobs.c.caller == caller, jobs.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else entry(row)


def repeated(connection: Connection, caller: str, request_id: str) -> Entry | None:
    """The job that a request id of a caller gave."""
    query = select(jobs).where(jobs.c.caller == caller, jobs.c.request_id == request_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else entry(row)


def held(hold: Hold) -> ColumnElement[bool]:
    """The condition that every write of an owner has."""
    return and_(
        jobs.c.name == hold.name,
        jobs.c.owner == hold.owner,
        jobs.c.attempt == hold.attempt,
        jobs.c.state == State.RUNNING.value,
    )


def lock(connection: Connection, hold: Hold) -> int:
    """Keeps the job from being taken over until the transaction ends; returns its interruptions. Raises
    Lost."""
    query = select(jobs.c.interruptions).where(held(hold)).with_for_update(key_share=True)
    interruptions = connection.execute(query).scalar_one_or_none()
    if interruptions is None:
        raise Lost(hold)
    return interruptions


def write(connection: Connection, hold: Hold, values: dict[str, Any]) -> Row[Any]:
    """The row after these values were written to it. Raises Lost."""
    row = connection.execute(update(jobs).where(held(hold)).values(values).returning(jobs)).one_or_none()
    if row is None:
        raise Lost(hold)
    return row


def refer(connection: Connection, job: str, key: str, references: Iterable[Reference]) -> None:
    """Replaces what a job refers to under this key."""
    table = tables.references
    connection.execute(delete(table).where(table.c.job == job, table.c.key == key))
    values = [
        {"job": job, "key": key, "artifact": one.artifact, "kind": one.kind.value} for one in set(references)
    ]
    if values:
        connection.execute(insert(table), values)


def waiting(connection: Connection) -> int:
    """The number of jobs that wait, of all callers."""
    return int(connection.execute(select(func.sum(tables.waiting.c.jobs))).scalar_one())


def count(connection: Connection, more: int) -> None:
    """Notes that so many more jobs wait."""
    if more:
        shard = tables.waiting.c.shard == random.randrange(tables.SHARDS)
        connection.execute(update(tables.waiting).where(shard).values(jobs=tables.waiting.c.jobs + more))
