"""Where jobs are handed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from canvas.region import MaskPicture, every
from intarsia.v1 import jobs_pb2
from orchestrator import logs
from orchestrator.api import fields, to_proto
from orchestrator.jobs.job import Jobs
from orchestrator.workflows.selection import FieldRegion
from store.artifact import ArtifactStore


class Intake:
    """Starts jobs. What a request names must be there: a job that could only fail is not begun."""

    def __init__(self, jobs: Jobs, store: ArtifactStore) -> None:
        self._jobs, self._store = jobs, store

    async def begin(self, message: Any, asked: Any, named: Iterable[str]) -> jobs_pb2.Job:
        """The job that a message asks for; `asked` is what it says, `named` are the artifacts it needs."""
        await self.check_there(named)
        job = await self._jobs.submit(
            type(asked).__name__,
            asked,
            request_id=fields.request_id(message.request_id),
            time_limit=fields.seconds(message, "time_limit"),
        )
        logs.job.set(job.name)
        return to_proto.job(job)

    async def check_there(self, named: Iterable[str]) -> None:
        """NotFound for the first artifact that is named and was never uploaded."""
        for name in named:
            await self._store.describe(name)


def masks(*places: FieldRegion) -> list[str]:
    """The mask pictures that regions are made of."""
    selectors = (region.selector for place in places for region in every(place.region))
    return [selector.artifact for selector in selectors if isinstance(selector, MaskPicture)]
