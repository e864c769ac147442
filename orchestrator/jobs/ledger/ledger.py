"""The ledger: what can be done to jobs, each in one transaction.

Callers submit, list and steer jobs. Owners claim them and write for them as long as they hold them: every
write of an owner names its attempt, and raises Lost once another one has the job. Several processes may use
one database at the same time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from intarsia.errors import Busy, NotFound
from orchestrator.jobs.job import ALL_JOBS, JobFilter, State
from orchestrator.jobs.ledger import claims, lists, rows, tables, watchers, wishes
from orchestrator.jobs.ledger.changes import Changes
from orchestrator.jobs.ledger.database import CONNECTION, Database
from orchestrator.jobs.ledger.entry import ClaimableJob, Entry, Hold, NewJob, Reference, WatchLease, Wish
from orchestrator.jobs.ledger.notifications import Notifications
from orchestrator.jobs.ledger.rows import jobs

MOST_REMEMBERED = 64 * 1024  # bytes of one stage

# Chooses a job by name, None to claim nothing. Called on the event loop, maybe again with fewer jobs.
Choose = Callable[[Sequence[ClaimableJob]], str | None]


class Ledger:
    """Jobs in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = Changes()
        self._notifications: Notifications | None = None
        if database.is_shared:
            self._notifications = Notifications(database.address, CONNECTION, self._changes.tell)

    async def exchange(self) -> None:
        """Exchanges changes with the other processes until it is cancelled; returns at once on SQLite, which
        has no others."""
        if self._notifications is not None:
            await self._notifications.run()

    async def told(self, *, within: float) -> None:
        """Returns when the other processes were told of every change until now, after `within` seconds at
        most."""
        if self._notifications is not None:
            await self._notifications.all_sent(within=within)

    @property
    def is_shared(self) -> bool:
        """True if other processes may use the database too."""
        return self._database.is_shared

    def changes(self) -> AsyncGenerator[str, None]:
        """Yields the names of jobs that changed, from the first step of the iteration on. An empty name
        says that some may have been missed: any job may have changed."""
        return self._changes.listen()

    # For callers

    async def submit(self, new: NewJob, *, waiting: int | None = None) -> Entry:
        """The new job, which waits; or the one that the caller's request id gave before: compare `sent`.

        Raises Busy if so many jobs, of all callers, are `waiting` already.
        """

        def work(connection: Connection) -> Entry:
            if new.request_id and (earlier := rows.repeated(connection, new.caller, new.request_id)):
                return earlier
            if waiting is not None and (found := rows.waiting(connection)) >= waiting:
                raise Busy(f"{found} jobs are waiting already; try again later", waiting=found)
            return rows.add(connection, new, self._database.now)

        return self._tell(await self._database.run(work))

    async def find(self, caller: str, request_id: str) -> Entry | None:
        """The job that a request id of the caller gave, None if it is new."""
        return await self._database.read(partial(rows.repeated, caller=caller, request_id=request_id))

    async def get(self, caller: str, name: str) -> Entry:
        """The job as it is now. Raises NotFound if the caller has none of that name."""
        return await self._database.read(lambda connection: _existing(connection, caller, name))

    async def list(
        self, caller: str, filter: JobFilter = ALL_JOBS, before: str = "", size: int = 50
    ) -> list[Entry]:
        """The caller's newest jobs that the filter lets pass, and whose name is smaller than `before`."""
        return await self._database.read(
            lambda connection: lists.newest(connection, caller, filter, before, size)
        )

    async def waiting(self) -> int:
        """The number of jobs that wait, of all callers."""
        return await self._database.read(rows.waiting)

    async def want(self, caller: str, name: str, wish: Wish, *, failure: str | None = None) -> Entry:
        """The job after a wish to pause or cancel it. One that waits obeys at once, one that has ended stays
        as it is. `failure`: of a job that is cancelled at once."""

        def work(connection: Connection) -> Entry:
            job = _existing(connection, caller, name, lock=True)
            return wishes.want(connection, job, wish, failure, self._database.now)

        return self._tell(await self._database.run(work))

    async def resume(self, caller: str, name: str) -> Entry:
        """The job, waiting again if it was paused. Others stay as they are."""

        def work(connection: Connection) -> Entry:
            return wishes.resume(
                connection, _existing(connection, caller, name, lock=True), self._database.now
            )

        return self._tell(await self._database.run(work))

    async def retry(self, caller: str, name: str) -> Entry:
        """The job, waiting again with all it remembers if it failed or was cancelled. Others stay."""

        def work(connection: Connection) -> Entry:
            return wishes.retry(
                connection, _existing(connection, caller, name, lock=True), self._database.now
            )

        return self._tell(await self._database.run(work))

    # For watchers

    async def watch_leases(self, *, below: float) -> tuple[float, Sequence[WatchLease]]:
        """The time, and the watchers' leases of which less than this share is left, those first that run out
        first."""
        return await self._database.read(
            lambda connection: watchers.leases(connection, below, self._database.now)
        )

    async def renew_watch_leases(self, names: Collection[str] | None) -> None:
        """Grants these jobs, as far as they have a watcher's lease, a full one from now on; None for all."""
        # If the machine forgets it, that does not matter: all are granted anew after a restart.
        await self._database.note(lambda connection: watchers.renew(connection, names, self._database.now))

    async def cancel_unwatched(self, name: str, failure: str) -> None:
        """Cancels a job if its watcher's lease is still over; one that runs, through its owner."""

        def work(connection: Connection) -> Entry | None:
            return watchers.cancel(connection, name, failure, self._database.now)

        if (job := await self._database.run(work)) is not None:
            self._tell(job)

    # For owners

    async def claim(self, owner: str, lease: float, choose: Choose) -> tuple[Hold, Entry] | None:
        """The chosen job, which the owner runs from now on; None if it chose none.

        `choose` gets the jobs that may be claimed, in the order of claims: those that wait, and those whose
        lease ran out. `lease`: seconds. It never runs out on SQLite, where a single process runs jobs.
        """
        seconds = lease if self._database.is_shared else None
        found = await self._database.read(
            lambda connection: claims.candidates(connection, self._database.now)
        )
        while found and (name := choose(found)) is not None:
            # If the machine forgets the claim, the job waits again: nothing was written for it yet.
            taken = await self._database.note(
                partial(claims.take, name=name, owner=owner, lease=seconds, now=self._database.now)
            )
            if taken is not None:
                self._changed(name)
                return taken
            found = [job for job in found if job.name != name]
        return None

    async def renew(self, holds: Collection[Hold], lease: float) -> dict[Hold, Wish]:
        """The holds that are still valid, renewed, and what is wanted of their jobs.

        A hold that is not renewed runs out, so that no job is kept that its owner does not know of.
        """
        if not holds:
            return {}
        seconds = lease if self._database.is_shared else None
        return await self._database.note(
            lambda connection: claims.renew(connection, holds, seconds, self._database.now)
        )

    async def report(
        self,
        hold: Hold,
        progress: str,
        *,
        spent: float | None = None,
        references: Collection[Reference] = (),
    ) -> Wish:
        """What is wanted of the job, after its progress was written. `spent`: seconds of running time so far,
        over all attempts. `references` replace those of the progress before. Raises Lost."""

        def work(connection: Connection) -> Wish:
            values = {"progress": progress, **({} if spent is None else {"spent": spent})}
            row = rows.write(connection, hold, values)
            rows.refer(connection, hold.name, rows.PROGRESS, references)
            return Wish(row.wanted)

        wanted = await self._database.note(work)
        self._changed(hold.name)
        return wanted

    async def remember(
        self, hold: Hold, key: str, value: str, references: Collection[Reference] = ()
    ) -> None:
        """Keeps a value, and what it refers to, under a key of the job, in place of what was there.

        Raises Lost, and ValueError for more than 64 KB.
        """
        if (size := len(value.encode())) > MOST_REMEMBERED:
            raise ValueError(
                f"stage {key} wants to remember {size} bytes; at most {MOST_REMEMBERED} are kept"
            )

        def work(connection: Connection) -> None:
            if rows.lock(connection, hold):
                rows.write(connection, hold, {"interruptions": 0})
            connection.execute(_stage(hold, key))
            connection.execute(insert(tables.stages).values(job=hold.name, key=key, value=value))
            rows.refer(connection, hold.name, key, references)

        await self._database.run(work)

    async def forget(self, hold: Hold, key: str) -> None:
        """Removes what the job remembers under a key. Raises Lost."""

        def work(connection: Connection) -> None:
            rows.lock(connection, hold)
            connection.execute(_stage(hold, key))
            rows.refer(connection, hold.name, key, ())

        await self._database.run(work)

    async def memory(self, name: str) -> dict[str, str]:
        """All that a job remembers, by key."""
        table = tables.stages
        query = select(table.c.key, table.c.value).where(table.c.job == name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.key: row.value for row in rows}

    async def end(
        self,
        hold: Hold,
        state: State,
        *,
        spent: float,
        progress: str | None = None,
        result: str | None = None,
        failure: str | None = None,
        references: Collection[Reference] = (),
    ) -> Entry:
        """The job after its end. The same end may be written again, if it is not known whether it was.

        Raises Lost.
        """
        values = {"state": state.value, "spent": spent, "result": result, "failure": failure, "lease": None}
        values["watched_until"] = None
        values |= {} if progress is None else {"progress": progress}

        def work(connection: Connection) -> Entry:
            ended = _attempt(connection, hold)
            if ended is not None and ended.state is state and ended.result == result:
                return ended
            row = rows.write(connection, hold, values | {"ended": self._database.now})
            rows.refer(connection, hold.name, rows.RESULT, references)
            return rows.entry(row)

        return self._tell(await self._database.run(work))

    async def hand_back(self, hold: Hold, *, spent: float, state: State = State.QUEUED) -> Entry:
        """The job, which others may claim at once, or which is paused. Raises Lost.

        It keeps its place among those that wait. A wish to cancel stays for the next owner.
        """

        def work(connection: Connection) -> Entry:
            job = rows.entry(rows.write(connection, hold, {"spent": spent, "lease": None}))
            return _release(connection, job, state)

        return self._tell(await self._database.run(work))

    async def take_back_all(self, owner: str | None = None) -> tuple[str, ...]:
        """Queues every job that runs, or those of one owner, and returns their names.

        Only for a database that no other process uses: then nobody runs them.
        """
        if self._database.is_shared and owner is None:
            raise ValueError("other processes may run these jobs: name an owner")
        running = jobs.c.state == State.RUNNING.value
        query = select(jobs).where(running if owner is None else running & (jobs.c.owner == owner))

        def work(connection: Connection) -> tuple[Entry, ...]:
            found = connection.execute(query.with_for_update()).all()
            return tuple(
                _release(connection, rows.entry(row), State.QUEUED, interruptions=row.interruptions + 1)
                for row in found
            )

        return tuple(self._tell(job).name for job in await self._database.run(work))

    def _tell(self, job: Entry) -> Entry:
        self._changed(job.name)
        return job

    def _changed(self, name: str) -> None:
        self._changes.tell(name)
        if self._notifications is not None:
            self._notifications.send(name)


def _existing(connection: Connection, caller: str, name: str, *, lock: bool = False) -> Entry:
    job = rows.find(connection, caller, name, lock=lock)
    if job is None:
        raise NotFound(f"there is no job {name}; finished jobs are forgotten after a while", name=name)
    return job


def _attempt(connection: Connection, hold: Hold) -> Entry | None:
    """The job, if this hold was the last one."""
    query = select(jobs).where(
        jobs.c.name == hold.name, jobs.c.owner == hold.owner, jobs.c.attempt == hold.attempt
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else rows.entry(row)


def _release(connection: Connection, job: Entry, state: State, **more: Any) -> Entry:
    """The job after its owner let go of it, with `more` values."""
    cancelled = job.wanted.ends_the_job
    if job.wanted is Wish.PAUSE:
        state = State.PAUSED
    if cancelled:
        state = State.QUEUED
    values: dict[str, Any] = {"state": state.value, "owner": "", "lease": None, **more}
    if not cancelled:
        values["wanted"] = Wish.NOTHING.value
    row = connection.execute(update(jobs).where(jobs.c.name == job.name).values(values).returning(jobs)).one()
    rows.count(connection, int(state is State.QUEUED))
    return rows.entry(row)


def _stage(hold: Hold, key: str) -> Any:
    return delete(tables.stages).where(tables.stages.c.job == hold.name, tables.stages.c.key == key)
