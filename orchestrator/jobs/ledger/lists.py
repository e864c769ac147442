"""Lists of jobs: newest first, those that a filter lets pass, and always the same ones after a name."""

from __future__ import annotations

from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select, union_all

from orchestrator.jobs.job import JobFilter, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.entry import Entry
from orchestrator.jobs.ledger.rows import entry, jobs


def newest(connection: Connection, caller: str, filter: JobFilter, before: str, size: int) -> list[Entry]:
    """The newest jobs of a caller with a name smaller than `before`; the newest of all if that is empty."""
    conditions = [jobs.c.caller == caller, *([jobs.c.name < before] if before else [])]
    for label in sorted(set(filter.labels)):
        labelled = select(tables.labels.c.job).where(tables.labels.c.label == label)
        conditions.append(jobs.c.name.in_(labelled))
    # The newest of each kind, then the newest of these: an index gives each without reading any other job.
    kinds = [_newest([*conditions, *kind], size).subquery().select() for kind in _kinds(filter)]
    found = union_all(*kinds).subquery()
    query = select(found).order_by(found.c.name.desc()).limit(size)
    return [entry(row) for row in connection.execute(query).all()]


def _kinds(filter: JobFilter) -> list[list[ColumnElement[bool]]]:
    """One condition for each state, or each method and state: an index has the newest of each."""
    if filter.methods:
        states = filter.states or tuple(State)
        return [
            [jobs.c.method == method, jobs.c.state == state.value]
            for method, state in product(sorted(set(filter.methods)), set(states))
        ]
    return [[jobs.c.state == state.value] for state in set(filter.states)] or [[]]


def _newest(conditions: list[ColumnElement[bool]], size: int) -> Select[Any]:
    return select(jobs).where(*conditions).order_by(jobs.c.name.desc()).limit(size)
