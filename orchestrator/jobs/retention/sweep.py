"""A sweep: removes what has outlived its time and is not needed.

Nothing that is needed is ever removed, by these rules:

- Whoever lets a job refer to an artifact retains the artifact until the reference is written. The store
  deletes nothing that is retained, and asks for references while nobody can begin to retain.
- What a running job stores has no reference yet. So what jobs make stays if it was stored since the oldest
  of the running jobs started.
- A finished job goes only while its results can be neither pinned nor named.

Every step leaves a state from which any later sweep continues, so one may end anywhere, and several processes
may sweep at the same time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from math import inf

from intarsia.errors import Busy
from orchestrator.jobs.ledger.entry import ReferenceKind
from orchestrator.jobs.ledger.references import EndedJob, References
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store.artifact import Artifact, ArtifactStore, Origin

log = logging.getLogger(__name__)

_PAGE = 500  # artifacts that are looked at in one call
_AT_ONCE = 100  # artifacts that are deleted, and jobs that are read, in one call
# A stage remembers an intermediate at once, and a preview is shown at once. One without a reference that is
# this old was replaced by a later one.
_REPLACED = 3600.0
# A crash leaves files that are not seen. They are left alone while somebody may look into what happened.
_LEFTOVERS = 86400.0


@dataclass(frozen=True)
class Removed:
    """What a sweep has removed."""

    jobs: int
    artifacts: int
    size: int  # bytes


class Sweep:
    """Sweeps one store by the references of one ledger."""

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
        self._tolerance, self._clock = tolerance, clock

    async def run(self) -> Removed:
        """Removes all that may go, of artifacts those first that are used least recently."""
        jobs = 0
        try:
            await self._release()
            jobs = await self._remove_jobs()
        except Busy as error:  # a full disk, on which artifacts can still be deleted
            log.warning("finished jobs were not removed: %s", error)
        gone = await self._remove_artifacts()
        await self._store.tidy(_time(self._clock() - _LEFTOVERS))
        return Removed(jobs, len(gone), sum(artifact.size for artifact in gone))

    async def _release(self) -> None:
        """Finished jobs let go of what they needed only while they ran."""
        for kind, after in (
            (ReferenceKind.PREVIEW, self._times.previews),
            (ReferenceKind.INTERMEDIATE, self._times.intermediates),
        ):
            while after < inf and await self._references.release(kind, after, size=_AT_ONCE):
                pass

    async def _remove_jobs(self) -> int:
        removed, last = 0, None
        shortest = min(self._times.results, self._times.jobs)
        while shortest < inf and (page := await self._references.ended(shortest, behind=last, size=_AT_ONCE)):
            for job in page:
                if job.age > (self._times.results if job.results else self._times.jobs):
                    removed += await self._remove(job)
            last = page[-1]
        return removed

    async def _remove(self, job: EndedJob) -> bool:
        """Removes a job unless one of its results is pinned."""
        try:
            async with self._store.freeze(job.results):
                if await self._store.pinned(job.results):
                    return False
                return await self._references.remove(job)
        except Busy:  # somebody uses a result: the next sweep looks again
            return False

    async def _remove_artifacts(self) -> list[Artifact]:
        now = self._clock()  # before the question: a job that starts later has stored nothing by now
        oldest = await self._references.oldest_start()
        made_before = min(now, inf if oldest is None else oldest) - self._tolerance
        due: list[Artifact] = []
        page = await self._store.list(size=_PAGE)
        while page:
            due += [artifact for artifact in page if self._is_due(artifact, now, made_before)]
            page = await self._store.list(after=page[-1].name, size=_PAGE)
        due.sort(key=lambda artifact: artifact.used)
        gone: list[Artifact] = []
        for n in range(0, len(due), _AT_ONCE):
            gone += await self._store.delete(due[n : n + _AT_ONCE], needed=self._references.needed)
        return gone

    def _is_due(self, artifact: Artifact, now: float, made_before: float) -> bool:
        """True if an artifact may go unless something refers to it."""
        used, origin = artifact.used.timestamp(), artifact.origin
        if artifact.pinned or used >= now - self._times.of(origin):
            return False
        if origin is Origin.UPLOAD:
            return True
        if origin is Origin.RESULT:
            return used < made_before
        return used < max(made_before, now - _REPLACED)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
