"""Jobs in memory: they live as long as the process does.

Everything happens on one event loop, so a record changes only between two awaits and needs no lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from math import inf
from typing import Any

from intarsia.errors import Busy, Cancelled, IntarsiaError, InvalidRequest, ModelDown, NotFound, TimeLimit
from orchestrator import logs, metrics
from orchestrator.aio import wait_event
from orchestrator.deadline import Deadline
from orchestrator.jobs.job import Job, JobIds, Page, State
from orchestrator.jobs.pages import page
from orchestrator.runs.run import Progress, Run

log = logging.getLogger(__name__)

# Carries out a request, reporting to the run.
Recipe = Callable[[Any, Run], Awaitable[Any]]

_BETWEEN_MESSAGES = 0.1  # seconds; a watcher hears of a change at most ten times a second


@dataclass(frozen=True)
class JobLimits:
    """How many jobs, and for how long. `at_once`: for methods whose jobs take long, how many of those that
    run may be of them; the others' turn comes first then."""

    running: int = 4
    at_once: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 256
    time_limit: float = 3600.0  # seconds
    kept: int = 1000  # finished jobs
    kept_seconds: float = 24 * 3600.0
    fetched_within: float = 300.0  # seconds; so long no finished job is one too many


class MemoryJobs:
    """Runs a bounded number of jobs at a time, in the order they came, as far as their kinds have places."""

    def __init__(self, recipes: Mapping[str, Recipe], limits: JobLimits) -> None:
        self._recipes, self._limits = recipes, limits
        self._ids = JobIds()
        self._records: OrderedDict[str, _Record] = OrderedDict()  # oldest first
        self._by_request_id: dict[str, _Record] = {}
        self._waiting: deque[_Record] = deque()
        self._running: set[_Record] = set()
        self._draining = False

    async def submit(
        self, method: str, request: Any, *, request_id: str = "", time_limit: float | None = None
    ) -> Job:
        asked = (method, request, time_limit)
        if request_id and (earlier := self._by_request_id.get(request_id)) is not None:
            if earlier.asked != asked:
                raise InvalidRequest(
                    "this id was used for another request; choose a new one for every new request",
                    field="request_id",
                    job=earlier.name,
                )
            return earlier.job()
        if self._draining:
            raise ModelDown("this server is shutting down and takes no new jobs; ask again in a moment")
        if len(self._waiting) >= self._limits.waiting:
            raise Busy(
                f"{len(self._waiting)} jobs are waiting already; try again later", waiting=len(self._waiting)
            )
        self._forget()
        seconds = min(self._limits.time_limit, time_limit or self._limits.time_limit)
        record = _Record(self._ids.new(), asked, request_id, seconds)
        self._records[record.name] = record
        if request_id:
            self._by_request_id[request_id] = record
        # A running job is told by its deadline; the alarm also reaches one that waits or computes.
        loop = asyncio.get_running_loop()
        late = TimeLimit(f"the job was given up after {seconds:g} s; allow more time, or ask for less")
        record.alarm = loop.call_later(seconds, self._stop, record, late)
        self._waiting.append(record)
        self._start_next()
        return record.job()

    async def get(self, name: str) -> Job:
        return self._record(name).job()

    async def list(self, *, size: int, token: str = "", states: Sequence[State] = ()) -> Page:
        self._forget()
        newest_first: Iterator[Job] = (record.job() for record in reversed(self._records.values()))
        return page(newest_first, size=size, token=token, states=states)

    async def watch(self, name: str) -> AsyncGenerator[Job, None]:
        record = self._record(name)
        while True:
            changed = record.changed
            job = record.job()
            said = time.monotonic()
            yield job
            if job.state.is_final:
                return
            await changed.wait()
            # What changes in the meantime is told together; only the end is told at once.
            await wait_event(record.over, within=said + _BETWEEN_MESSAGES - time.monotonic())

    async def cancel(self, name: str) -> Job:
        record = self._record(name)
        self._stop(record, Cancelled("the job was cancelled on request"))
        return record.job()

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
        while len(self._running) < self._limits.running and (record := self._next()) is not None:
            self._waiting.remove(record)
            self._running.add(record)
            metrics.JOB_WAIT_SECONDS.observe(record.begin())
            # Task and callback both work in the job's name, as far as the log is concerned.
            context = copy_context()
            context.run(logs.job.set, record.name)
            record.task = context.run(asyncio.ensure_future, self._carry_out(record))
            record.task.add_done_callback(partial(self._ended, record), context=context)
        self._count()

    def _next(self) -> _Record | None:
        """Who waits longest among those whose kind has a place left."""
        taken = Counter(record.asked[0] for record in self._running)
        most = self._limits.at_once
        return next(
            (each for each in self._waiting if taken[each.asked[0]] < most.get(each.asked[0], inf)), None
        )

    async def _carry_out(self, record: _Record) -> Any:
        log.info("started")
        method, request, _ = record.asked
        return await self._recipes[method](request, record.run)

    def _ended(self, record: _Record, task: asyncio.Future[Any]) -> None:
        """However the work ended, even before it began, its job has an end."""
        self._running.discard(record)
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
        """Ends a job that is not over: at once if it waits, else as soon as its recipe lets go."""
        if record.over.is_set() or record.stopped_by is not None:
            return
        record.stopped_by = why
        if record.task is not None:
            record.task.cancel()
            return
        self._waiting.remove(record)
        self._fail(record, why)
        self._settle(record)
        self._count()

    def _fail(self, record: _Record, why: IntarsiaError) -> None:
        # Only a job that somebody asked to stop is cancelled; a model that says so on its own has failed.
        asked_to = isinstance(record.stopped_by, Cancelled)
        why.__traceback__ = why.__cause__ = why.__context__ = None
        record.end(State.CANCELLED if asked_to else State.FAILED, failure=why)

    def _settle(self, record: _Record) -> None:
        if record.alarm is not None:
            record.alarm.cancel()
        job = record.job()
        metrics.JOBS_ENDED.labels(job.method, job.state.value).inc()
        facts = {"job": job.name, "state": job.state.value}
        if job.failure is not None:
            facts |= {"reason": job.failure.reason, "why": job.failure.message}
        log.info("ended", extra={"facts": facts})

    def _count(self) -> None:
        metrics.JOBS.labels(State.QUEUED.value).set(len(self._waiting))
        metrics.JOBS.labels(State.RUNNING.value).set(len(self._running))

    def _record(self, name: str) -> _Record:
        record = self._records.get(name)
        if record is None:
            raise NotFound(f"there is no job {name}; finished jobs are forgotten after a while", name=name)
        return record

    def _forget(self) -> None:
        """Drops finished jobs that are too many or too old."""
        now = datetime.now(timezone.utc)
        ended = {record: record.ended for record in self._records.values() if record.ended is not None}
        too_many = len(ended) - self._limits.kept
        for place, record in enumerate(sorted(ended, key=ended.__getitem__)):
            age = (now - ended[record]).total_seconds()
            superfluous = place < too_many and age >= self._limits.fetched_within
            if superfluous or age > self._limits.kept_seconds:
                del self._records[record.name]
                self._by_request_id.pop(record.request_id, None)


class _Record:
    """A job's memory."""

    def __init__(
        self, name: str, asked: tuple[str, Any, float | None], request_id: str, seconds: float
    ) -> None:
        self.name, self.asked, self.request_id = name, asked, request_id
        self.run = Run(Deadline.after(seconds), self._wake)
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
        """Tells how many seconds it has waited."""
        self._state, self._started = State.RUNNING, datetime.now(timezone.utc)
        self._wake()
        return (self._started - self._created).total_seconds()

    def end(self, state: State, *, result: Any = None, failure: IntarsiaError | None = None) -> None:
        self._state, self._result, self._failure = state, result, failure
        self.ended = datetime.now(timezone.utc)
        self._at_the_end = self._progress()
        del self.run  # a thousand jobs are remembered, and none of them needs how it got there
        self.over.set()
        self._wake()

    def job(self) -> Job:
        """How it stands now."""
        return Job(
            name=self.name,
            method=self.asked[0],
            state=self._state,
            created=self._created,
            request_id=self.request_id,
            progress=self._progress(),
            failure=self._failure,
            result=self._result,
            started=self._started,
            ended=self.ended,
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
