"""The intake of jobs: requests are checked and resolved before they become jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from canvas.region import MaskPicture, every
from intarsia.v1 import jobs_pb2
from orchestrator import logs
from orchestrator.api import fields, from_proto, to_proto
from orchestrator.api.stores import Stores
from orchestrator.caller import Caller
from orchestrator.jobs.job import JobDriver
from orchestrator.jobs.latest_facts import LatestFacts
from orchestrator.models.facts import Facts
from orchestrator.runs.needs import Needs
from orchestrator.workflows.selection import FieldRegion

Request = TypeVar("Request")
Resolved = TypeVar("Resolved")


class Intake:
    """Starts jobs. A job that could only fail is not begun: what its request names must exist."""

    def __init__(
        self,
        jobs: JobDriver,
        stores: Stores,
        facts: LatestFacts,
        needs_of: Callable[[str, Any], Awaitable[Needs]],
    ) -> None:
        """`needs_of` returns what a job of a method with this request needs."""
        self._jobs, self._stores, self._facts, self._needs_of = jobs, stores, facts, needs_of

    async def submit(
        self,
        caller: Caller,
        message: Any,
        request: Request,
        artifacts: Iterable[str],
        models: Iterable[str],
        resolve: Callable[[Request, Facts], Any],
    ) -> jobs_pb2.Job:
        """The job for a request, which was read from `message` and needs these artifacts and models.

        `resolve` decides what the request leaves open. A repeated request gives the job that it gave before,
        whatever has changed since; kind, priority, labels and lease of the repeat do not count.
        """
        method = type(request).__name__
        request_id = fields.request_id(message.request_id)
        time_limit = fields.seconds(message, "time_limit")
        watched_within = fields.watched_within(message)
        kind = from_proto.job_kind(message.kind, method)
        priority, labels = fields.priority(message.priority), fields.labels(message.labels, "labels")
        job = await self._jobs.repeated(caller, method, request, request_id=request_id, time_limit=time_limit)
        if job is None:
            # What it names stays until the job refers to it.
            async with self._stores.of(caller).retain(tuple(artifacts)):
                resolved = await self.resolve(caller, request, models, resolve)
                job = await self._jobs.submit(
                    caller,
                    method,
                    resolved,
                    original=request,
                    needs=await self._needs_of(method, resolved),
                    request_id=request_id,
                    time_limit=time_limit,
                    kind=kind,
                    priority=priority,
                    labels=labels,
                    watched_within=watched_within,
                )
        logs.job.set(job.name)
        return to_proto.job(job)

    async def resolve(
        self,
        caller: Caller,
        request: Request,
        models: Iterable[str],
        resolve: Callable[[Request, Facts], Resolved],
    ) -> Resolved:
        """The request, resolved with the facts that these models published last."""
        return resolve(request, await self._facts.of(models))

    async def check_artifacts(self, caller: Caller, names: Iterable[str]) -> None:
        """Notes that artifacts were named; NotFound for the first that is not there."""
        store = self._stores.of(caller)
        for name in names:
            await store.use(name)


def mask_artifacts(*targets: FieldRegion) -> list[str]:
    """The mask pictures that regions are made of."""
    selectors = (region.selector for target in targets for region in every(target.region))
    return [selector.artifact for selector in selectors if isinstance(selector, MaskPicture)]
