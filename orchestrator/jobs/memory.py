"""Jobs in memory: they live as long as the process does.

Everything happens on one event loop, so a record changes only between two awaits and needs no lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import Any

from intarsia.errors import (
    Busy,
    Cancelled,
    IntarsiaError,
    InvalidRequest,
    ModelDown,
    NotFound,
    NotReady,
    TimeLimit,
)
from orchestrator import logs, metrics
from orchestrator.aio import wait_event
from orchestrator.caller import Caller
from orchestrator.deadline import Deadline
from orchestrator.jobs.job import ALL_JOBS, Job, JobFilter, JobIds, Kind, Page, State
from orchestrator.jobs.pages import last_name, page
from orchestrator.jobs.queue import JobQueue, QueuedJob
from orchestrator.runs.needs import LITTLE, Needs
from orchestrator.runs.run import Progress, Run

log = logging.getLogger(__name__)

# Carries out a request, reporting to the run.
CarryOut = Callable[[Any, Run], Awaitable[Any]]

_BETWEEN_MESSAGES = 0.1  # seconds; a watcher gets a change at most ten times a second


@dataclass(frozen=True)
class JobLimits:
    """Limits on the number of jobs that wait or are kept, and on the time of a job."""

    waiting: int = 256
    time_limit: float = 3600.0  # seconds
    kept: int = 1000  # finished jobs
    kept_seconds: float = 24 * 3600.0
    fetched_within: float = 300.0  # seconds; for so long every finished job is kept


class MemoryJobs:
    """Carries jobs out in the order of its queue."""

    def __init__(self, recipes: Mapping[str, CarryOut], limits: JobLimits, queue: JobQueue) -> None:
        self._recipes, self._limits, self._queue = recipes, limits, queue
        self._ids = JobIds()
        self._records: OrderedDict[str, _Record] = OrderedDict()  # oldest first
        self._by_request_id: dict[tuple[Caller, str], _Record] = {}
        self._draining = False
        queue.watch(self._start_next)

    async def repeated(
        self,
        caller: Caller,
        method: str,
        original: Any,
        *,
        request_id: str,
        time_limit: float | None = None,
    ) -> Job | None:
        earlier = self._by_request_id.get((caller, request_id))
        if earlier is None:
            return None
        if earlier.submission.sent != (method, original, time_limit):
            raise InvalidRequest(
                "this id was used for another request; choose a new one for every new request",
                field="request_id",
                job=earlier.name,
            )
        return earlier.job()

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
        sent = (method, request if original is None else original, time_limit)
        submission = _Submission(caller, method, request, sent, request_id, kind, priority, tuple(labels))
        earlier = await self.repeated(caller, method, sent[1], request_id=request_id, time_limit=time_limit)
        if earlier is not None:
            return earlier
        if self._draining:
            raise ModelDown("this server is shutting down and takes no new jobs; ask again in a moment")
        if (waiting := self._queue.waiting) >= self._limits.waiting:
            raise Busy(f"{waiting} jobs are waiting already; try again later", waiting=waiting)
        self._forget()
        seconds = min(self._limits.time_limit, time_limit or self._limits.time_limit)
        queued = QueuedJob(self._ids.new(), method, needs.memory, needs.requests)
        record = _Record(queued, submission, seconds, partial(self._shrink, queued))
        self._records[record.name] = record
        if request_id:
            self._by_request_id[caller, request_id] = record
        # The deadline reaches the calls of a running job; the alarm also one that waits or computes.
        loop = asyncio.get_running_loop()
        late = TimeLimit(f"the job was ended after {seconds:g} s; allow more time, or ask for less")
        record.alarm = loop.call_later(seconds, self._stop, record, late)
        self._queue.add(queued)
        self._start_next()
        return record.job()

    async def get(self, caller: Caller, name: str) -> Job:
        return self._record(caller, name).job()

    async def list(self, caller: Caller, *, size: int, token: str = "", filter: JobFilter = ALL_JOBS) -> Page:
        self._forget()
        newest_first: Iterator[Job] = (
            record.job() for record in reversed(self._records.values()) if record.submission.caller == caller
        )
        before = last_name(token, filter) if token else "~"
        found = (job for job in newest_first if job.name < before and filter.fits(job))
        return page(list(islice(found, size + 1)), size=size, filter=filter)

    async def watch(self, caller: Caller, name: str) -> AsyncGenerator[Job, None]:
        record = self._record(caller, name)
        while True:
            changed = record.changed
            job = record.job()
            sent = time.monotonic()
            yield job
            if job.state.is_final:
                return
            await changed.wait()
            # Changes in the meantime are sent together; only the end is sent at once.
            await wait_event(record.over, within=sent + _BETWEEN_MESSAGES - time.monotonic())

    async def cancel(self, caller: Caller, name: str, *, keep_partial: bool = False) -> Job:
        record = self._record(caller, name)
        self._stop(record, Cancelled("the job was cancelled on request"))
        return record.job()

    async def pause(self, caller: Caller, name: str) -> Job:
        raise _remembers_nothing(name)

    async def resume(self, caller: Caller, name: str) -> Job:
        raise _remembers_nothing(name)

    async def retry(self, caller: Caller, name: str) -> Job:
        raise _remembers_nothing(name)

    async def drain(self, grace: float) -> bool:
        self._draining = True
        until = time.monotonic() + grace
        unfinished = [record for record in self._records.values() if not record.over.is_set()]
        for record in unfinished:
            await wait_event(record.over, within=until - time.monotonic())
        left = [record for record in unfinished if not record.over.is_set()]
        for record in left:
            self._stop(
                record,
                ModelDown(
                    "the server shut down before this job was done; start it again with a new request id"
                ),
            )
        for record in left:
            await record.over.wait()
        return any(record.job().state is State.SUCCEEDED for record in unfinished)

    def _start_next(self) -> None:
        while (queued := self._queue.start()) is not None:
            record = self._records[queued.name]
            metrics.JOB_WAIT_SECONDS.observe(record.begin())
            # Task and callback both work in the job's name, as far as the log is concerned.
            context = copy_context()
            context.run(logs.job.set, record.name)
            record.task = context.run(asyncio.ensure_future, self._carry_out(record))
            record.task.add_done_callback(partial(self._ended, record), context=context)

    def _shrink(self, queued: QueuedJob, memory: int) -> None:
        self._queue.shrink(queued, memory)
        self._start_next()

    async def _carry_out(self, record: _Record) -> Any:
        log.info("started")
        submission = record.submission
        return await self._recipes[submission.method](submission.request, record.run)

    def _ended(self, record: _Record, task: asyncio.Future[Any]) -> None:
        """Ends the job, however its work ended, even before it began."""
        self._queue.remove(record.queued)
        if task.cancelled():
            self._fail(record, record.stopped_by or ModelDown("the server stopped before this job was done"))
        elif (error := task.exception()) is not None:
            self._fail(record, record.stopped_by or logs.presentable(error))
        else:
            record.end(State.SUCCEEDED, result=task.result())
        # A task, and a traceback, hold the frames they went through, and those hold pictures.
        record.task = None
        self._settle(record)
        self._start_next()

    def _stop(self, record: _Record, why: IntarsiaError) -> None:
        """Ends a job that is not over: at once if it waits, else as soon as its recipe has ended."""
        if record.over.is_set() or record.stopped_by is not None:
            return
        record.stopped_by = why
        if record.task is not None:
            record.task.cancel()
            return
        self._queue.remove(record.queued)
        self._fail(record, why)
        self._settle(record)
        self._start_next()  # of those that had to wait behind it

    def _fail(self, record: _Record, why: IntarsiaError) -> None:
        # Only a job that its caller cancelled is cancelled; a model that reports it by itself has failed.
        on_request = isinstance(record.stopped_by, Cancelled)
        why.__traceback__ = why.__cause__ = why.__context__ = None
        record.end(State.CANCELLED if on_request else State.FAILED, failure=why)

    def _settle(self, record: _Record) -> None:
        if record.alarm is not None:
            record.alarm.cancel()
        job = record.job()
        metrics.JOBS_ENDED.labels(job.method, job.state.value).inc()
        facts = {"job": job.name, "state": job.state.value}
        if job.failure is not None:
            facts |= {"reason": job.failure.reason, "why": job.failure.message}
        log.info("ended", extra={"facts": facts})

    def _record(self, caller: Caller, name: str) -> _Record:
        record = self._records.get(name)
        if record is None or record.submission.caller != caller:
            raise NotFound(f"there is no job {name}; finished jobs are forgotten after a while", name=name)
        return record

    def _forget(self) -> None:
        """Drops finished jobs that are too many or too old."""
        now = datetime.now(timezone.utc)
        ended = {record: record.ended for record in self._records.values() if record.ended is not None}
        too_many = len(ended) - self._limits.kept
        for n, record in enumerate(sorted(ended, key=ended.__getitem__)):
            age = (now - ended[record]).total_seconds()
            superfluous = n < too_many and age >= self._limits.fetched_within
            if superfluous or age > self._limits.kept_seconds:
                del self._records[record.name]
                self._by_request_id.pop((record.submission.caller, record.submission.request_id), None)


@dataclass(frozen=True)
class _Submission:
    """A request as it was submitted; `sent` is what a repeat must be equal to."""

    caller: Caller
    method: str
    request: Any
    sent: tuple[str, Any, float | None]
    request_id: str
    kind: Kind
    priority: int
    labels: tuple[str, ...]


def _remembers_nothing(name: str) -> NotReady:
    return NotReady(f"{name} is in memory only, where jobs remember nothing; start it again instead")


class _Record:
    """The state of a job."""

    def __init__(
        self, queued: QueuedJob, submission: _Submission, seconds: float, shrunk: Callable[[int], None]
    ) -> None:
        self.name, self.queued, self.submission = queued.name, queued, submission
        self.run = Run(Deadline.after(seconds), self._wake, shrunk)
        self.over = asyncio.Event()
        self.changed = asyncio.Event()  # set, and replaced, at every change
        self.task: asyncio.Future[Any] | None = None
        self.alarm: asyncio.TimerHandle | None = None
        self.stopped_by: IntarsiaError | None = None
        self.ended: datetime | None = None
        self._state = State.QUEUED
        self._created = datetime.now(timezone.utc)
        self._started: datetime | None = None
        self._failure: IntarsiaError | None = None
        self._result: Any = None
        self._at_the_end: Progress | None = None

    def begin(self) -> float:
        """Marks the job as running and returns the seconds it has waited."""
        self._state, self._started = State.RUNNING, datetime.now(timezone.utc)
        self._wake()
        return (self._started - self._created).total_seconds()

    def end(self, state: State, *, result: Any = None, failure: IntarsiaError | None = None) -> None:
        self._state, self._result, self._failure = state, result, failure
        self.ended = datetime.now(timezone.utc)
        self._at_the_end = self._progress()
        del self.run  # a thousand finished jobs are kept, and none of them needs it
        self.over.set()
        self._wake()

    def job(self) -> Job:
        """The job as it is now."""
        return Job(
            name=self.name,
            method=self.submission.method,
            state=self._state,
            created=self._created,
            request_id=self.submission.request_id,
            progress=self._progress(),
            failure=self._failure,
            result=self._result,
            started=self._started,
            ended=self.ended,
            kind=self.submission.kind,
            priority=self.submission.priority,
            labels=self.submission.labels,
            attempt=int(self._started is not None),
        )

    def _progress(self) -> Progress:
        if self._at_the_end is not None:
            return self._at_the_end
        progress = self.run.progress
        if self._state is State.SUCCEEDED:
            return replace(progress, fraction=1.0, remaining=0.0)
        return replace(progress, remaining=None) if self._state.is_final else progress

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
