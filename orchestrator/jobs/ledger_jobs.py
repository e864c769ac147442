"""Jobs in a ledger: they outlive the process, and several processes may share them.

What a caller asks for is answered from the ledger, beside the progress of the jobs that run here. A worker
carries jobs out; those of a process that is gone are carried out by the next one, from what they remember.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intarsia.errors import Cancelled, InvalidRequest, ModelDown
from orchestrator.aio import wait_event
from orchestrator.caller import Caller
from orchestrator.jobs.attempt import Attempt
from orchestrator.jobs.bound_recipe import BoundRecipe
from orchestrator.jobs.codec import to_plain
from orchestrator.jobs.entries import digest_of, failure_text, job_of, text_of
from orchestrator.jobs.job import ALL_JOBS, Job, JobFilter, JobIds, Kind, Page
from orchestrator.jobs.ledger.entry import Entry, NewJob, Wish
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.listeners import Listeners
from orchestrator.jobs.pages import last_name, page
from orchestrator.jobs.queue import JobQueue
from orchestrator.jobs.worker import Worker, WorkLimits
from orchestrator.runs.needs import LITTLE, Needs
from orchestrator.stages.memory import artifacts_in

_BETWEEN_MESSAGES = 0.1  # seconds; a watcher gets a change at most ten times a second


@dataclass(frozen=True)
class JobLimits:
    """Limits on the number of jobs that wait, and on the running time of a job over all its attempts."""

    waiting: int = 256
    time_limit: float = 3600.0  # seconds, of an interactive job
    batch_time_limit: float | None = None  # of a batch job that names none; None for no limit


class LedgerJobs:
    """The jobs of a ledger, of which this process runs as many as its queue allows."""

    def __init__(
        self,
        ledger: Ledger,
        recipes: Mapping[str, BoundRecipe],
        queue: JobQueue,
        limits: JobLimits,
        work_limits: WorkLimits,
    ) -> None:
        self._ledger, self._recipes, self._limits = ledger, recipes, limits
        self._ids, self._listeners = JobIds(), Listeners()
        self._worker = Worker(ledger, recipes, queue, self._listeners, work_limits)
        self._is_draining = self._is_stopped = False

    async def start(self) -> None:
        """Begins to run jobs; first, where this process is the only one, those that the last one left."""
        self._worker.start()

    @property
    def broken(self) -> asyncio.Event:
        """Set when this process claims no jobs any more, by a fault of its own: it must be started anew."""
        return self._worker.broken

    async def repeated(
        self,
        caller: Caller,
        method: str,
        original: Any,
        *,
        request_id: str,
        time_limit: float | None = None,
    ) -> Job | None:
        earlier = await self._ledger.find(caller.name, request_id) if request_id else None
        return None if earlier is None else self._same(earlier, digest_of(method, original, time_limit))

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
        watched_within: float | None = None,
    ) -> Job:
        original = request if original is None else original
        if self._is_draining:
            raise ModelDown("this server is shutting down and takes no new jobs; ask again in a moment")
        new = NewJob(
            name=self._ids.new(),
            caller=caller.name,
            method=method,
            request=text_of(request),
            sent=digest_of(method, original, time_limit),
            recipe=str(self._recipes[method].version),
            kind=kind,
            priority=priority,
            labels=tuple(labels),
            request_id=request_id,
            time_limit=self._time_limit(kind, time_limit),
            watched_within=watched_within,
            memory=needs.memory,
            requests=needs.requests,
            inputs=artifacts_in(to_plain(request)),
        )
        entry = await self._ledger.submit(new, waiting=self._limits.waiting)
        self._worker.look()
        return self._same(entry, new.sent)  # the same request may have come twice at the same time

    async def get(self, caller: Caller, name: str) -> Job:
        attempt = self._attempt(name)
        if attempt is not None and attempt.entry.caller == caller.name:
            return attempt.job()
        return self._job(await self._ledger.get(caller.name, name))

    async def list(self, caller: Caller, *, size: int, token: str = "", filter: JobFilter = ALL_JOBS) -> Page:
        before = last_name(token, filter) if token else ""
        found = await self._ledger.list(caller.name, filter, before, size + 1)
        return page([self._job(entry) for entry in found], size=size, filter=filter)

    async def watch(self, caller: Caller, name: str) -> AsyncGenerator[Job, None]:
        last: Job | None = None
        with self._listeners.listen(name) as listener:
            while True:
                listener.clear()
                job = await self.get(caller, name)
                self._worker.watch_leases.note(name)
                sent = time.monotonic()
                if job != last:
                    yield job
                last = job
                if job.state.is_final:
                    return
                if self._is_stopped:
                    raise ModelDown("this server has shut down; the job goes on, watch it again in a moment")
                await listener.changed.wait()
                # Changes in the meantime are sent together; only the end is sent at once.
                await wait_event(listener.over, within=sent + _BETWEEN_MESSAGES - time.monotonic())

    async def cancel(self, caller: Caller, name: str, *, keep_partial: bool = False) -> Job:
        failure = failure_text(Cancelled("the job was cancelled on request"))
        wish = Wish.KEEP_PARTIAL if keep_partial else Wish.CANCEL
        attempt = self._attempt(name)
        if attempt is not None and attempt.entry.caller == caller.name:
            attempt.obey(wish)  # before the wish is on the disk, which may take longer than a step
        return self._steered(await self._ledger.want(caller.name, name, wish, failure=failure))

    async def pause(self, caller: Caller, name: str) -> Job:
        return self._steered(await self._ledger.want(caller.name, name, Wish.PAUSE))

    async def resume(self, caller: Caller, name: str) -> Job:
        return self._steered(await self._ledger.resume(caller.name, name))

    async def retry(self, caller: Caller, name: str) -> Job:
        return self._steered(await self._ledger.retry(caller.name, name))

    async def drain(self, grace: float) -> bool:
        self._is_draining = True
        succeeded = await self._worker.drain(grace)
        self._is_stopped = True
        self._listeners.tell_all()
        return succeeded

    def _attempt(self, name: str) -> Attempt | None:
        """The attempt at a job that this process holds, as far as it knows."""
        attempt = self._worker.attempts.get(name)
        return None if attempt is None or attempt.is_lost else attempt

    def _time_limit(self, kind: Kind, asked: float | None) -> float | None:
        if kind is Kind.BATCH:
            return asked or self._limits.batch_time_limit
        return min(self._limits.time_limit, asked or self._limits.time_limit)

    def _same(self, earlier: Entry, sent: str) -> Job:
        if earlier.sent != sent:
            raise InvalidRequest(
                "this id was used for another request; choose a new one for every new request",
                field="request_id",
                job=earlier.name,
            )
        return self._job(earlier)

    def _steered(self, entry: Entry) -> Job:
        """The job after its caller wanted something of it, which is done at once if it runs here."""
        attempt = self._attempt(entry.name)
        if attempt is not None and (entry.owner, entry.attempt) == (attempt.hold.owner, attempt.hold.attempt):
            attempt.obey(entry.wanted)
        self._worker.look()
        return self._job(entry)

    def _job(self, entry: Entry) -> Job:
        attempt = self._attempt(entry.name)
        progress = attempt.progress if attempt is not None and not entry.state.is_final else None
        return job_of(entry, self._recipes.get(entry.method), progress)
