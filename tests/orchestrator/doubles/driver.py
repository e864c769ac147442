"""A driver of jobs that carries nothing out: it keeps what it is told, and moves states at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from intarsia.errors import ModelDown, NotFound
from orchestrator.caller import Caller
from orchestrator.jobs.job import ALL_JOBS, Job, JobFilter, JobIds, Kind, Page, State
from orchestrator.jobs.pages import last_name, page
from orchestrator.runs.needs import LITTLE, Needs


class StillJobs:
    """A `JobDriver` whose jobs wait until they are told to do something else."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.requests: dict[str, Any] = {}
        self.keeps_partial: list[str] = []  # jobs that were cancelled so
        self.stopped, self.cancelled = asyncio.Event(), asyncio.Event()
        self._ids = JobIds()

    async def repeated(
        self,
        caller: Caller,
        method: str,
        original: Any,
        *,
        request_id: str,
        time_limit: float | None = None,
    ) -> Job | None:
        found = (job for job in self.jobs.values() if request_id and job.request_id == request_id)
        return next(found, None)

    async def submit(
        self,
        caller: Caller,
        method: str,
        request: Any,
        *,
        original: Any = None,
        needs: Needs = LITTLE,
        request_id: str = "",
        time_limit: float | None = None,
        kind: Kind = Kind.INTERACTIVE,
        priority: int = 0,
        labels: Sequence[str] = (),
    ) -> Job:
        job = Job(
            name=self._ids.new(),
            method=method,
            state=State.QUEUED,
            created=datetime.now(timezone.utc),
            request_id=request_id,
            kind=kind,
            priority=priority,
            labels=tuple(labels),
        )
        self.requests[job.name] = request
        return self._keep(job)

    async def get(self, caller: Caller, name: str) -> Job:
        if name not in self.jobs:
            raise NotFound(f"there is no job {name}")
        return self.jobs[name]

    async def list(self, caller: Caller, *, size: int, token: str = "", filter: JobFilter = ALL_JOBS) -> Page:
        before = last_name(token, filter) if token else "~"
        newest_first = sorted(self.jobs.values(), key=lambda job: job.name, reverse=True)
        found = [job for job in newest_first if job.name < before and _fits(job, filter)]
        return page(found[: size + 1], size=size, filter=filter)

    async def watch(self, caller: Caller, name: str) -> AsyncGenerator[Job, None]:
        yield (job := await self.get(caller, name))
        if job.state.is_final:
            return
        await self.stopped.wait()
        raise ModelDown("this server has shut down; the job goes on")

    async def cancel(self, caller: Caller, name: str, *, keep_partial: bool = False) -> Job:
        self.keeps_partial += [name] * keep_partial
        self.cancelled.set()
        return await self._move(caller, name, (State.QUEUED, State.RUNNING, State.PAUSED), State.CANCELLED)

    async def pause(self, caller: Caller, name: str) -> Job:
        return await self._move(caller, name, (State.QUEUED, State.RUNNING), State.PAUSED)

    async def resume(self, caller: Caller, name: str) -> Job:
        return await self._move(caller, name, (State.PAUSED,), State.QUEUED)

    async def retry(self, caller: Caller, name: str) -> Job:
        return await self._move(caller, name, (State.FAILED, State.CANCELLED), State.QUEUED)

    async def drain(self, grace: float) -> bool:
        return False

    async def _move(self, caller: Caller, name: str, before: tuple[State, ...], after: State) -> Job:
        job = await self.get(caller, name)
        return self._keep(replace(job, state=after)) if job.state in before else job

    def _keep(self, job: Job) -> Job:
        self.jobs[job.name] = job
        return job


def _fits(job: Job, filter: JobFilter) -> bool:
    return (
        (not filter.states or job.state in filter.states)
        and (not filter.methods or job.method in filter.methods)
        and filter.labels <= set(job.labels)
    )
