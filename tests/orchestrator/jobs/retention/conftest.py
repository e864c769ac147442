"""A store and a ledger of their own, whose times the tests decide."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path

import pytest

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import NewJob, Reference, ReferenceKind
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.ledger.references import References
from orchestrator.jobs.retention.ledger_retention import LedgerRetention
from orchestrator.jobs.retention.sweep import Sweep
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store.artifact import Artifact, Origin, digest_of
from store.disk import DiskStore
from tests.orchestrator.jobs.ledger.clock import Clock

DAY = 86400.0
NOW = 2e9
TIMES = TimesToLive()


class World:
    """Artifacts and jobs of any age."""

    def __init__(self, folder: Path, store: DiskStore, database: Database, clock: Clock) -> None:
        """`clock` is that of the database, and of sweeps."""
        self.folder, self.store, self.database, self.clock = folder, store, database, clock
        self.ledger, self.references = Ledger(database), References(database)
        self._names = count()

    def sweep(self, times: TimesToLive = TIMES) -> Sweep:
        return Sweep(self.store, self.references, times, tolerance=1, clock=self.clock)

    def retention(self, times: TimesToLive = TIMES) -> LedgerRetention:
        return LedgerRetention(self.store, self.references, times, tolerance=1, clock=self.clock)

    async def put(self, data: str, origin: Origin = Origin.UPLOAD, *, used: float = NOW) -> Artifact:
        """Stores an artifact that was used at this moment last."""
        stored = await self.store.put_bytes(data.encode(), "image/png", origin=origin)
        digest = digest_of(stored.name)
        os.utime(self.folder / "artifacts/objects" / digest[:2] / f"{digest}.json", (used, used))
        return await self.store.describe(stored.name)

    async def job(
        self,
        state: State = State.QUEUED,
        *,
        inputs: Sequence[str] = (),
        intermediates: Sequence[str] = (),
        previews: Sequence[str] = (),
        results: Sequence[str] = (),
        started: float = NOW,
        ended: float = NOW,
    ) -> str:
        """The name of a job in this state."""
        name = f"jobs/{next(self._names):08}"
        moment = self.clock()
        self.clock.set(started)
        await self.ledger.submit(
            NewJob(name=name, caller="me", method="EditRegion", request="{}", sent="", inputs=tuple(inputs))
        )
        if state is not State.QUEUED:
            taken = await self.ledger.claim("owner", 15, lambda jobs: name)
            assert taken is not None
            hold, _ = taken
            await self.ledger.report(hold, "{}", references=_of(ReferenceKind.PREVIEW, previews))
            await self.ledger.remember(hold, "stage", "1", _of(ReferenceKind.INTERMEDIATE, intermediates))
            self.clock.set(ended)
            if state is State.PAUSED:
                await self.ledger.hand_back(hold, spent=1, state=state)
            elif state.is_final:
                made = _of(ReferenceKind.RESULT, results)
                await self.ledger.end(hold, state, spent=1, references=made)
        self.clock.set(moment)
        return name

    async def stored(self) -> set[str]:
        """The names of all artifacts."""
        return {artifact.name for artifact in await self.store.list(size=1000)}

    async def jobs(self) -> set[str]:
        return {entry.name for entry in await self.ledger.list("me", size=1000)}


def _of(kind: ReferenceKind, names: Sequence[str]) -> list[Reference]:
    return [Reference(name, kind) for name in names]


@asynccontextmanager
async def world_in(folder: Path, url: str) -> AsyncIterator[World]:
    with closing(Clock(url, NOW)) as clock:
        store = DiskStore(folder / "artifacts")
        database = await Database.open(url, clock=clock, space=store.space)
        try:
            yield World(folder, store, database, clock)
        finally:
            await database.close()


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    async with world_in(tmp_path, url) as made:
        yield made
