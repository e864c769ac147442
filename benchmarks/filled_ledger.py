"""A ledger with many jobs, for measurements: filled in bulk, with copies of jobs that went through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, insert, select, text

from orchestrator.jobs.job import JobIds, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import NewJob, Reference, ReferenceKind
from orchestrator.jobs.ledger.ledger import Ledger

OWNER, CALLER, LABEL, LEASE = "benchmark", "everyone", "mural", 15.0
METHODS = ("EditRegion", "FillRegion", "TrackRegion")
_BULK = 5000  # rows of a transaction
_LABELLED = 5  # one job in so many has the label


@dataclass(frozen=True)
class FilledLedger:
    """A ledger with so many jobs, and its database."""

    ledger: Ledger
    database: Database
    ids: JobIds


@asynccontextmanager
async def filled(url: str, waiting: int, finished: int) -> AsyncIterator[FilledLedger]:
    """Opens a new ledger and fills it in bulk with copies of jobs that went through it."""
    database = await Database.open(url)
    try:
        found = FilledLedger(Ledger(database), database, JobIds())
        await _fill(found, State.SUCCEEDED, finished)
        await _fill(found, State.QUEUED, waiting)
        if database.is_shared:
            # Autovacuum would do so within a minute.
            await database.run(lambda connection: connection.execute(text("ANALYZE")))
        yield found
    finally:
        await database.close()


async def _fill(filled: FilledLedger, state: State, count: int) -> None:
    """Adds so many jobs; the first of each method is made by the ledger, the others are copies of its row."""
    models = []
    for method in METHODS:
        name = (await filled.ledger.submit(new_job(filled.ids, method))).name
        if state is State.SUCCEEDED:
            claimed = await filled.ledger.claim(OWNER, LEASE, lambda jobs: jobs[0].name)
            assert claimed is not None
            await filled.ledger.end(claimed[0], state, spent=1.0, result="{}" * 500, references=results())
            name = claimed[0].name
        models.append(name)
    for start in range(len(models), count, _BULK):
        names = [filled.ids.new() for _ in range(start, min(start + _BULK, count))]
        await filled.database.run(partial(_copy, models=models, names=names))


def _copy(connection: Connection, models: Sequence[str], names: Sequence[str]) -> None:
    """Copies of the rows of some jobs under other names."""
    rows = [
        dict(connection.execute(select(tables.jobs).where(tables.jobs.c.name == name)).one()._mapping)
        for name in models
    ]
    copies = [
        {**rows[n % len(rows)], "name": name, "request_id": name, "rank": rows[0]["rank"] + n / 1e6}
        for n, name in enumerate(names)
    ]
    connection.execute(insert(tables.jobs), copies)
    labels = [{"job": name, "label": LABEL} for name in names[::_LABELLED]]
    connection.execute(insert(tables.labels), labels)
    kinds = [("picture", ReferenceKind.INPUT), ("result", ReferenceKind.RESULT)]
    references = [
        {"job": name, "key": key, "artifact": f"artifacts/{name}", "kind": kind.value}
        for name in names
        for key, kind in kinds
    ]
    connection.execute(insert(tables.references), references)
    if rows[0]["state"] == State.QUEUED.value:
        counter = tables.waiting.c
        more = tables.waiting.update().where(counter.shard == 0).values(jobs=counter.jobs + len(names))
        connection.execute(more)


def new_job(ids: JobIds, method: str) -> NewJob:
    """A job as an edit submits it: a request of 2 KB, with an input and a label."""
    name = ids.new()
    return NewJob(
        name=name,
        caller=CALLER,
        method=method,
        request="{}" * 1000,
        sent="0" * 64,
        request_id=name,
        labels=(LABEL,),
        inputs=("artifacts/" + "0" * 64,),
    )


def results() -> tuple[Reference, ...]:
    """What a job refers to at its end."""
    return tuple(Reference(f"artifacts/{number:064x}", ReferenceKind.RESULT) for number in range(3))
