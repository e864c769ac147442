"""References: which artifacts jobs refer to, and how finished jobs let go of them.

Each operation is one transaction, and may be repeated. Times to live are seconds since a job ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, text, tuple_

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import BadDatabase, Database
from orchestrator.jobs.ledger.entry import ReferenceKind
from orchestrator.jobs.ledger.tables import jobs, meta, references, stages

_FINAL = [state.value for state in State if state.is_final]
_UNFINISHED = [state.value for state in State if not state.is_final]


@dataclass(frozen=True)
class EndedJob:
    """A finished job, and the artifacts of its result."""

    name: str
    ended: float  # seconds since 1970
    age: float  # seconds since its end
    results: tuple[str, ...]


class References:
    """References of all jobs in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bind(self, identity: str) -> None:
        """Remembers the store that artifacts are in; the first one counts. Raises BadDatabase for another."""
        found = await self._database.run(lambda connection: _bound(connection, identity))
        if found != identity:
            raise BadDatabase(
                f"the jobs in this database belong to the artifact store {found}, and INTARSIA_ARTIFACTS is "
                f"the store {identity}: set it to the folder whose file `identity` says {found}, or set "
                "INTARSIA_JOBS_DATABASE to another database"
            )

    async def needed(self, artifacts: Collection[str]) -> dict[str, str]:
        """A job that refers to an artifact, for each of these that has one."""
        return await self._jobs(artifacts, None)

    async def needed_by_unfinished(self, artifacts: Collection[str]) -> dict[str, str]:
        """A job that has not ended and refers to an artifact, for each of these that has one."""
        return await self._jobs(artifacts, _UNFINISHED)

    async def oldest_start(self) -> float | None:
        """When the first of the running jobs started, in seconds since 1970; None if none runs."""
        query = select(func.min(jobs.c.started)).where(jobs.c.state == State.RUNNING.value)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def release(self, kind: ReferenceKind, after: float, *, size: int) -> tuple[str, ...]:
        """Drops references of a kind, of some jobs that ended longer ago than `after`; returns the artifacts.

        Jobs that can be tried again keep their intermediates. With them, others forget their stages.
        """
        states = [State.SUCCEEDED.value] if kind is ReferenceKind.INTERMEDIATE else _FINAL

        def work(connection: Connection) -> tuple[str, ...]:
            of_ended = references.c.job == jobs.c.name, jobs.c.state.in_(states), self._ended_before(after)
            query = select(references.c.job).where(*of_ended, references.c.kind == kind.value).distinct()
            # Whoever locks a job's row decides about it: one that is tried again keeps what it has.
            locked = select(jobs.c.name).where(
                jobs.c.name.in_(query.limit(size).correlate(None)), jobs.c.state.in_(states)
            )
            names = connection.execute(locked.with_for_update(skip_locked=True)).scalars().all()
            if kind is ReferenceKind.INTERMEDIATE:
                connection.execute(delete(stages).where(stages.c.job.in_(names)))
            drop = delete(references).where(references.c.job.in_(names), references.c.kind == kind.value)
            return tuple(connection.execute(drop.returning(references.c.artifact)).scalars().all())

        return await self._database.run(work)

    async def ended(self, after: float, *, behind: EndedJob | None, size: int) -> list[EndedJob]:
        """The first jobs that ended longer ago than `after`, of those behind a job in this order."""
        age = (self._database.now - jobs.c.ended).label("age")
        query = select(jobs.c.name, jobs.c.ended, age)
        query = query.where(jobs.c.state.in_(_FINAL), self._ended_before(after))
        if behind is not None:
            query = query.where(tuple_(jobs.c.ended, jobs.c.name) > (behind.ended, behind.name))
        query = query.order_by(jobs.c.ended, jobs.c.name).limit(size)

        def work(connection: Connection) -> list[EndedJob]:
            found = connection.execute(query).all()
            results: dict[str, list[str]] = {row.name: [] for row in found}
            for row in connection.execute(_results(list(results))).all():
                results[row.job].append(row.artifact)
            return [EndedJob(row.name, row.ended, row.age, tuple(results[row.name])) for row in found]

        return await self._database.read(work)

    async def remove(self, job: EndedJob) -> bool:
        """Removes a finished job with all that belongs to it; False if it was tried again meanwhile."""
        gone = delete(jobs).where(
            jobs.c.name == job.name, jobs.c.state.in_(_FINAL), jobs.c.ended == job.ended
        )
        removed = await self._database.run(
            lambda connection: connection.execute(gone.returning(jobs.c.name)).all()
        )
        return bool(removed)

    def _ended_before(self, after: float) -> ColumnElement[bool]:
        return jobs.c.ended < self._database.now - after

    async def _jobs(self, artifacts: Collection[str], states: Sequence[str] | None) -> dict[str, str]:
        query = select(references.c.artifact, func.min(references.c.job).label("job"))
        query = query.where(references.c.artifact.in_(artifacts)).group_by(references.c.artifact)
        if states is not None:
            query = query.join(jobs, jobs.c.name == references.c.job).where(jobs.c.state.in_(states))
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.artifact: row.job for row in found}


def _results(names: Collection[str]) -> Select[tuple[str, str]]:
    kind = references.c.kind == ReferenceKind.RESULT.value
    return select(references.c.job, references.c.artifact).where(references.c.job.in_(names), kind)


def _bound(connection: Connection, identity: str) -> str:
    """The identity that is remembered, from now on."""
    store = {"key": "store", "identity": identity}
    connection.execute(text("INSERT INTO meta VALUES (:key, :identity) ON CONFLICT DO NOTHING"), store)
    return connection.execute(select(meta.c.value).where(meta.c.key == "store")).scalar_one()
