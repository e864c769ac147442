"""The queue of jobs: which of those that wait starts next, and what those that run hold.

Jobs of one method start first come, first served, while two limits allow it: how many requests their model
takes, and how many bytes all that run may need together. Whatever drives jobs asks here and carries them out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import Protocol

from orchestrator import metrics
from orchestrator.jobs.job import State


class Capacity(Protocol):
    """How many requests of jobs may run. It changes with the models that they use."""

    def most(self, method: str) -> int:
        """How many requests of a method's jobs may run at a time, at least 1."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed`, which returns at once, whenever the numbers may have changed."""


@dataclass(eq=False)
class QueuedJob:
    """A job that waits or runs: its name, its method, and what it needs from now on."""

    name: str
    method: str
    memory: int = 0  # bytes, at most
    requests: int = 1  # to the model that does most of its work, at a time


class JobQueue:
    """Jobs that wait, in the order in which they came, and those that run.

    A job that needs more memory than there is runs when no other does. While a job waits for memory, no
    younger one takes it, and no job of a method that takes long starts. Such methods get at most half of the
    memory, and of `running` jobs, so that others run beside them; memory that only they could return is not
    waited for: younger jobs go past.
    """

    def __init__(
        self,
        capacity: Capacity,
        methods: Collection[str],
        *,
        memory: float,
        running: int | None = None,
        long: Collection[str] = (),
    ) -> None:
        """`memory`: bytes of all running jobs. `running`: the most jobs that run, None to leave that to the
        capacity. `long`: those of the `methods` whose jobs take long."""
        self._capacity, self._methods, self._long = capacity, methods, frozenset(long)
        self._memory, self._most = memory, running
        self._waiting: deque[QueuedJob] = deque()
        self._running: set[QueuedJob] = set()
        metrics.JOBS_MEMORY_BYTES.set(memory)

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed` whenever the capacity, and with it the answer of `start`, may have changed."""
        self._capacity.watch(changed)

    @property
    def waiting(self) -> int:
        """The number of jobs that wait."""
        return len(self._waiting)

    @property
    def reserved(self) -> int:
        """The bytes that all running jobs need at most."""
        return sum(map(self._counted, self._running))

    def add(self, job: QueuedJob) -> None:
        """Adds a job behind those that wait."""
        self._waiting.append(job)

    def start(self) -> QueuedJob | None:
        """The job that starts now, None if none may. Call it until it returns None, after every change."""
        job = self._next()
        if job is not None:
            self._waiting.remove(job)
            self._running.add(job)
        self._report()
        return job

    def shrink(self, job: QueuedJob, memory: int) -> None:
        """Notes that a job needs no more than so many bytes from now on. It never needs more than before."""
        job.memory = min(job.memory, memory)

    def remove(self, job: QueuedJob) -> None:
        """Removes a job that has ended, or that waits and will not start."""
        if job in self._running:
            self._running.discard(job)
        else:
            self._waiting.remove(job)
        self._report()

    def _next(self) -> QueuedJob | None:
        """The oldest job that may start."""
        if self._most is not None and len(self._running) >= self._most:
            return None
        held = self.reserved
        long_held = sum(self._counted(job) for job in self._running if self._is_long(job))
        closed = {method for method in self._methods if self._is_full(method)}
        for job in self._waiting:
            needed = self._counted(job)
            if job.method in closed:
                continue
            if self._is_long(job) and long_held + needed > self._memory / 2:
                closed.add(job.method)  # only the end of another long one makes room for it
                continue
            if not self._running or held + needed <= self._memory:
                return job
            closed |= self._long
            if not long_held or long_held + needed <= self._memory:
                return None  # the others end soon and make room for it
        return None

    def _is_full(self, method: str) -> bool:
        jobs = [job for job in self._running if job.method == method]
        requests = sum(job.requests for job in jobs)
        return len(jobs) >= self._most_jobs(method) or requests >= self._capacity.most(method)

    def _most_jobs(self, method: str) -> float:
        if self._most is None:
            return inf
        return max(1, self._most // 2) if method in self._long else self._most

    def _counted(self, job: QueuedJob) -> int:
        """The bytes that count: a long job never keeps all others from running, however much it needs."""
        return int(min(job.memory, self._memory / 2)) if self._is_long(job) else job.memory

    def _is_long(self, job: QueuedJob) -> bool:
        return job.method in self._long

    def _report(self) -> None:
        metrics.JOBS.labels(State.QUEUED.value).set(len(self._waiting))
        metrics.JOBS.labels(State.RUNNING.value).set(len(self._running))
        metrics.JOBS_RESERVED_BYTES.set(self.reserved)
        for method in self._methods:
            most = min(self._capacity.most(method), self._most_jobs(method))
            metrics.JOBS_LIMIT.labels(method).set(most)
