"""Lists of jobs: newest first, those that a filter lets pass, and always the same ones after a name."""

from __future__ import annotations

from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, select, union_all

from orchestrator.jobs.job import JobFilter, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.entry import Entry
from orchestrator.jobs.ledger.rows import entry, jobs


def newest(connection: Connection, caller: str, filter: JobFilter, before: str, size: int) -> list[Entry]:
    """The newest jobs of a caller with a name smaller than `before`; the newest of all if that is empty."""
    conditions = [jobs.c.caller == caller, *([jobs.c.name < before] if before else [])]
    if filter.labels and not (filter.states or filter.methods):
        query = _newest_of_labels(conditions, sorted(filter.labels), before, size)
    else:
        query = _newest_of_kinds(conditions, filter, size)
    return [entry(row) for row in connection.execute(query.limit(size)).all()]


def _newest_of_labels(
    conditions: list[ColumnElement[bool]], texts: list[str], before: str, size: int
) -> Select[Any]:
    """An index has the jobs of the first label in order: each of them is looked at, until a page is full."""
    first, *others = (tables.labels.alias(f"label_{n}") for n in range(len(texts)))
    for other, text in zip(others, texts[1:], strict=True):
        conditions = [*conditions, exists().where(other.c.job == jobs.c.name, other.c.label == text)]
    names = select(first.c.job).where(first.c.label == texts[0])
    if before:
        names = names.where(first.c.job < before)
    names = names.where(exists().where(jobs.c.name == first.c.job, *conditions).correlate(first))
    names = names.order_by(first.c.job.desc()).limit(size)
    return select(jobs).where(jobs.c.name.in_(names)).order_by(jobs.c.name.desc())


def _newest_of_kinds(conditions: list[ColumnElement[bool]], filter: JobFilter, size: int) -> Select[Any]:
    """The newest of each kind, then the newest of these: an index gives each without reading others."""
    for label in sorted(filter.labels):
        labelled = select(tables.labels.c.job).where(tables.labels.c.label == label)
        conditions = [*conditions, jobs.c.name.in_(labelled)]
    kinds = [_newest(conditions, kind, size).subquery().select() for kind in _kinds(filter)]
    found = union_all(*kinds).subquery()
    return select(found).order_by(found.c.name.desc())


def _kinds(filter: JobFilter) -> list[list[ColumnElement[bool]]]:
    """One condition for each state, or each method and state: an index has the newest of each."""
    if filter.methods:
        states = filter.states or tuple(State)
        return [
            [jobs.c.method == method, *_is(state)]
            for method, state in product(sorted(set(filter.methods)), set(states))
        ]
    return [_is(state) for state in set(filter.states)] or [[]]


def _is(state: State) -> list[ColumnElement[bool]]:
    """A range, though of one value: a column that must equal a value is no part of an order for PostgreSQL,
    which would then walk through the newest jobs of all states."""
    return [jobs.c.state >= state.value, jobs.c.state <= state.value]


def _newest(conditions: list[ColumnElement[bool]], kind: list[ColumnElement[bool]], size: int) -> Select[Any]:
    by_state = [jobs.c.state.desc()] if kind else []
    return select(jobs).where(*conditions, *kind).order_by(*by_state, jobs.c.name.desc()).limit(size)
