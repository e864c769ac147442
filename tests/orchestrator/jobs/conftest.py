"""A driver of jobs over a ledger in a file, and work that begins, waits and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from intarsia.errors import ModelDown
from orchestrator.caller import Caller
from orchestrator.jobs.bound_recipe import BoundRecipe
from orchestrator.jobs.job import Job, State
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import Entry, Hold, Lost, Wish
from orchestrator.jobs.ledger.ledger import Choose, Ledger
from orchestrator.jobs.ledger_jobs import JobLimits, LedgerJobs
from orchestrator.jobs.queue import JobQueue
from orchestrator.jobs.worker import WorkLimits
from orchestrator.runs.run import Run
from orchestrator.stages.memory import Memory
from tests.orchestrator.conftest import LOCAL

T = TypeVar("T")

OTHER = Caller("other")
ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


class Numbers:
    """A capacity that can be set, by method."""

    def __init__(self, **most: int) -> None:
        self.jobs = most
        self.changed: Callable[[], None] = lambda: None

    def most(self, method: str) -> int:
        return self.jobs.get(method, 100)

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed


class Work:
    """A recipe that begins, waits to be let go, and answers its request."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Any] = asyncio.Queue()
        self.let_go = asyncio.Event()
        self.stopped: list[Any] = []
        self.has_stopped = asyncio.Event()

    async def __call__(self, request: Any, run: Run, memory: Memory) -> Any:
        self.begun.put_nowait(request)
        try:
            with run.stage("denoise"):
                await self.let_go.wait()
        except asyncio.CancelledError:
            self.stopped.append(request)
            self.has_stopped.set()
            raise
        return request

    async def has_begun(self, count: int) -> list[Any]:
        """The requests of the next jobs that began, once there are so many."""
        return [await self.begun.get() for _ in range(count)]


Recipe = Callable[[Any, Run, Memory], Awaitable[Any]]


class InterruptedDatabase(Database):
    """A database that is away when it is told to."""

    is_away = False
    _refusals = 0

    async def run(self, work: Callable[[Connection], T]) -> T:
        self._answer()
        return await super().run(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._answer()
        return await super().read(work)

    async def refused(self, times: int) -> None:
        """Returns once it was asked so many times more in vain."""
        until = self._refusals + times
        while self._refusals < until:
            await asyncio.sleep(0.01)

    def _answer(self) -> None:
        if self.is_away:
            self._refusals += 1
            raise ModelDown("the jobs database is out of reach; it is asked again")


class ObservedLedger(Ledger):
    """A ledger that tells when there was nothing to claim, and does nothing for a dead or frozen process."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.nothing_to_claim = asyncio.Event()
        self.is_dead = False
        self.thawed = asyncio.Event()
        self.thawed.set()

    async def claim(self, owner: str, lease: float, choose: Choose) -> tuple[Hold, Entry] | None:
        await self.thawed.wait()
        claimed = await super().claim(owner, lease, choose)
        if claimed is None:
            self.nothing_to_claim.set()
        return claimed

    async def renew(self, holds: Collection[Hold], lease: float) -> dict[Hold, Wish]:
        await self.thawed.wait()
        return await super().renew(holds, lease)

    async def report(self, hold: Hold, progress: str, **options: Any) -> Wish:
        await self.thawed.wait()
        return await super().report(hold, progress, **options)

    async def end(self, hold: Hold, *arguments: Any, **options: Any) -> Entry:
        if self.is_dead:
            raise Lost(hold)
        return await super().end(hold, *arguments, **options)

    async def hand_back(self, hold: Hold, **options: Any) -> Entry:
        if self.is_dead:
            raise Lost(hold)
        return await super().hand_back(hold, **options)


@dataclass
class _Made:
    jobs: LedgerJobs
    database: InterruptedDatabase
    ledger: ObservedLedger
    capacity: Numbers


class Drivers:
    """Makes drivers, one after the other over the same file, or each over one of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._made: list[_Made] = []

    async def __call__(
        self,
        recipe: Recipe,
        running: Numbers | int = 4,
        memory: float = inf,
        *,
        file: str = "",
        url: str = "",
        methods: Collection[str] = ("EditRegion", "TrackRegion"),
        version: int = 1,
        kind: type = str,
        partial: Recipe | None = None,
        work_limits: WorkLimits | None = None,
        **limits: Any,
    ) -> LedgerJobs:
        self._count += 1
        path = self._folder / (file or f"{self._count}.sqlite")
        database = await InterruptedDatabase.open(url or f"sqlite:///{path}")
        bound = BoundRecipe(recipe, kind, kind, version, partial)
        capacity = Numbers(**dict.fromkeys(methods, running)) if isinstance(running, int) else running
        ledger = ObservedLedger(database)
        jobs = LedgerJobs(
            ledger,
            dict.fromkeys(methods, bound),
            JobQueue(capacity, methods, memory=memory, long=["TrackRegion"]),
            replace(JobLimits(), **limits),
            work_limits or WorkLimits(),
        )
        self._made.append(_Made(jobs, database, ledger, capacity))
        await jobs.start()
        return jobs

    async def settled(self, jobs: LedgerJobs) -> LedgerJobs:
        """The driver, once every job runs that may."""
        made = self._of(jobs)
        for _ in range(2):  # the first answer may be to a question from before
            made.ledger.nothing_to_claim.clear()
            made.capacity.changed()
            await made.ledger.nothing_to_claim.wait()
        return jobs

    def ledger(self, jobs: LedgerJobs) -> ObservedLedger:
        """The ledger of a driver."""
        return self._of(jobs).ledger

    def capacity(self, jobs: LedgerJobs) -> Numbers:
        """The capacity of a driver."""
        return self._of(jobs).capacity

    def database(self, jobs: LedgerJobs) -> InterruptedDatabase:
        """The database of a driver."""
        return self._of(jobs).database

    async def end(self, jobs: LedgerJobs, grace: float = 0) -> bool:
        """Ends a driver as a server does, so that the next one may use its file."""
        made = self._of(jobs)
        succeeded = await jobs.drain(grace)
        await made.database.close()
        self._made.remove(made)
        return succeeded

    async def die(self, jobs: LedgerJobs) -> None:
        """Ends a driver without a last word to the ledger, as a process that is killed."""
        self.ledger(jobs).is_dead = True
        await self.end(jobs)

    async def end_all(self) -> None:
        for made in list(self._made):
            await self.end(made.jobs)

    def _of(self, jobs: LedgerJobs) -> _Made:
        (made,) = (made for made in self._made if made.jobs is jobs)
        return made


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Gives the address of an empty database; on SQLite it lies in the folder."""
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder}/jobs.sqlite"
    postgres = request.getfixturevalue("postgres")
    return lambda folder: postgres.create()


@pytest.fixture
def url(new_database: Callable[[Path], str], tmp_path: Path) -> str:
    """The address of an empty database."""
    return new_database(tmp_path)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Drivers]:
    """Makes drivers, and sees that nothing of theirs outlives the test."""
    drivers = Drivers(tmp_path)
    yield drivers
    await drivers.end_all()


async def last(jobs: LedgerJobs, name: str) -> Job:
    *_, final = [job async for job in jobs.watch(LOCAL, name)]
    return final


async def reaches(jobs: LedgerJobs, name: str, state: State) -> Job:
    """The job as soon as it is in a state."""
    async for job in jobs.watch(LOCAL, name):
        if job.state is state:
            return job
    raise AssertionError(f"{name} ended as {job.state} before it was {state}")


async def states(jobs: LedgerJobs, names: list[str]) -> list[State]:
    return [(await jobs.get(LOCAL, name)).state for name in names]
