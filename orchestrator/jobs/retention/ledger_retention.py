"""The retention of artifacts by the references of the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from math import inf

from intarsia.errors import Busy, IntarsiaError, NotFound, NotReady
from orchestrator.jobs.ledger.references import References
from orchestrator.jobs.retention.artifact_pages import newest
from orchestrator.jobs.retention.retention import ArtifactPage
from orchestrator.jobs.retention.sweep import Removed, Sweep
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store.artifact import Artifact, ArtifactStore

log = logging.getLogger(__name__)

_BETWEEN_SWEEPS = 600.0
# After a sweep for a full disk that found nothing, none is made for so long.
_NOTHING_TO_FREE = 10.0


class LedgerRetention:
    """A `Retention` by the references of jobs in a ledger."""

    def __init__(
        self,
        store: ArtifactStore,
        references: References,
        times: TimesToLive,
        *,
        tolerance: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`tolerance`: by how many seconds the clocks of store and database may differ."""
        self._store, self._references, self._times = store, references, times
        self._sweep = Sweep(store, references, times, tolerance=tolerance, clock=clock)
        self._under_way: asyncio.Task[Removed] | None = None
        self._full_until = -inf

    async def list(self, *, size: int, token: str = "", pinned: bool = False) -> ArtifactPage:
        page = await newest(self._store, size=size, token=token, pinned=pinned)
        return replace(page, artifacts=await self._with_expiry(page.artifacts))

    async def describe(self, name: str) -> Artifact:
        return await self._one(await self._store.use(name))

    async def pin(self, name: str) -> Artifact:
        return await self._one(await self._store.pin(name))

    async def unpin(self, name: str) -> Artifact:
        return await self._one(await self._store.unpin(name))

    async def delete(self, name: str) -> None:
        artifact = await self._store.describe(name)
        if artifact.pinned:
            raise NotReady(f"`{name}` is pinned; unpin it first", artifact=name)
        jobs: dict[str, str] = {}

        async def needed(names: Sequence[str]) -> Collection[str]:
            jobs.update(await self._references.needed_by_unfinished(names))
            return jobs

        if await self._store.delete([artifact], needed=needed):
            return
        if job := jobs.get(name):
            raise NotReady(f"{job} needs `{name}`; wait for its end, or cancel it", artifact=name, job=job)
        try:
            await self._store.describe(name)
        except NotFound:
            return  # somebody else has deleted it
        raise Busy(f"`{name}` was used or pinned at this moment; try again", artifact=name)

    async def sweep(self) -> Removed:
        """Removes all that may go. Those who ask at the same time share one sweep."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._sweep.run())
        return await asyncio.shield(self._under_way)

    async def free(self) -> bool:
        """Removes all that may go, because a disk is full; True if anything went."""
        if asyncio.current_task() is self._under_way:
            return False  # it is the sweep that found the database full: it goes on with the artifacts
        now = asyncio.get_running_loop().time()
        if now < self._full_until:
            return False
        removed = await self._try_sweep()
        freed = removed is not None and removed.size > 0
        if not freed:
            self._full_until = asyncio.get_running_loop().time() + _NOTHING_TO_FREE
        return freed

    async def run(self) -> None:
        """Sweeps from time to time. When it is cancelled, no sweep is left."""
        try:
            while True:
                await self._try_sweep()
                await asyncio.sleep(_BETWEEN_SWEEPS)
        finally:
            if self._under_way is not None:
                self._under_way.cancel()
                await asyncio.wait({self._under_way})

    async def _try_sweep(self) -> Removed | None:
        """What a sweep removed; None if it ended early, for a reason that is logged."""
        try:
            removed = await self.sweep()
        except (IntarsiaError, OSError) as error:
            log.warning("what has outlived its time could not be removed: %s", error)
            return None
        if removed != Removed(0, 0, 0):
            facts = {"jobs": removed.jobs, "artifacts": removed.artifacts, "bytes": removed.size}
            log.info("removed what has outlived its time", extra={"facts": facts})
        return removed

    async def _one(self, artifact: Artifact) -> Artifact:
        (described,) = await self._with_expiry([artifact])
        return described

    async def _with_expiry(self, artifacts: Sequence[Artifact]) -> tuple[Artifact, ...]:
        needed = await self._references.needed([artifact.name for artifact in artifacts])
        return tuple(
            artifact if artifact.pinned or artifact.name in needed else self._expiring(artifact)
            for artifact in artifacts
        )

    def _expiring(self, artifact: Artifact) -> Artifact:
        time_to_live = self._times.of(artifact.origin)
        if time_to_live == inf:
            return artifact
        return replace(artifact, expires=artifact.used + timedelta(seconds=time_to_live))
