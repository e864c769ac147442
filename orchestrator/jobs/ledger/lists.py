"""Lists of jobs: newest first, those that a filter lets pass, and always the same ones after a name."""

from __future__ import annotations

from itertools import product

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
    names = [_names([*conditions, *kind], size).subquery().select() for kind in _kinds(filter)]
    found = union_all(*names).subquery()
    query = select(jobs).where(jobs.c.name.in_(select(found.c.name)))
    rows = connection.execute(query.order_by(jobs.c.name.desc()).limit(size)).all()
    return [entry(row) for row in rows]


def _kinds(filter: JobFilter) -> list[list[ColumnElement[bool]]]:
    """One condition for each state, or each method and state: an index has the newest of each."""
    if filter.methods:
        states = filter.states or tuple(State)
        return [
            [jobs.c.method == method, jobs.c.state == state.value]
            for method, state in product(sorted(set(filter.methods)), set(states))
        ]
    return [[jobs.c.state == state.value] for state in set(filter.states)] or [[]]


def _names(conditions: list[ColumnElement[bool]], size: int) -> Select[tuple[str]]:
    return select(jobs.c.name).where(*conditions).order_by(jobs.c.name.desc()).limit(size)
