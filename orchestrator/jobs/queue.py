"""The order of jobs: which of those that wait starts next, beside those that run here and what they hold.

Jobs start in the order of the ledger while three limits allow it: the places of their kind, how many requests
their model takes, and how many bytes all that run here may need together. Whatever drives jobs asks here and
carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from orchestrator import metrics
from orchestrator.jobs.job import Kind, State
from orchestrator.jobs.ledger.entry import ClaimableJob

_SUSPECT = 2  # interruptions; a process may end once for any reason


class Capacity(Protocol):
    """How many requests of jobs may run. It changes with the models that they use."""

    def most(self, method: str) -> int:
        """How many requests of a method's jobs may run at a time; 0 while its model is not there yet."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed`, which returns at once, whenever the numbers may have changed."""


@dataclass(eq=False)
class RunningJob:
    """A job that runs here: its name, its method, its kind, and what it needs from now on."""

    name: str
    method: str
    kind: Kind = Kind.INTERACTIVE
    memory: int = 0  # bytes, at most
    requests: int = 1  # to the model that does most of its work, at a time
    interruptions: int = 0  # attempts that ended without a word, since it remembered something last

    def shrink(self, memory: int) -> None:
        """Notes that it needs no more than so many bytes from now on. It never needs more than before."""
        self.memory = min(self.memory, memory)


class JobQueue:
    """The jobs that run in this process, and the choice of the next one.

    Interactive and batch jobs have places of their own: one of each kind and method may run whatever the
    other kind does, and batch jobs get at most half of `running` jobs, of the memory, and of the requests
    that a model takes unless it works for batch jobs only. A job that needs more memory than there is runs
    when no other does. While a job waits for memory, no later one takes it, and no batch job starts; memory
    that only batch jobs could return is not waited for, because they may take long: later jobs go past.

    A job that was interrupted again and again may be what ends the process. One of those runs at a time in a
    process, so that the others are not interrupted along with it; other processes run others of them.
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
        capacity. `long`: those of the `methods` whose jobs take long, which makes them batch jobs."""
        self._capacity, self._methods, self._long = capacity, methods, frozenset(long)
        self._memory, self._most = memory, running
        self._running: set[RunningJob] = set()
        metrics.JOBS_MEMORY_BYTES.set(memory)

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed` whenever the capacity, and with it the choice, may have changed."""
        self._capacity.watch(changed)

    @property
    def reserved(self) -> int:
        """The bytes that all running jobs need at most."""
        return sum(map(self._counted, self._running))

    def choose(self, waiting: Sequence[ClaimableJob]) -> str | None:
        """The name of the job to start now among those that wait, in their order; None if none may."""
        held = self.reserved
        batch_held = sum(self._counted(job) for job in self._running if job.kind is Kind.BATCH)
        closed: set[tuple[str, Kind]] = set()
        batch_may_start = True
        suspect_runs = any(map(_is_suspect, self._running))
        for job in waiting:
            needed, is_batch = self._counted(job), job.kind is Kind.BATCH
            place = job.method, job.kind
            if place in closed or (is_batch and not batch_may_start):
                continue
            if suspect_runs and _is_suspect(job):
                continue
            if self._is_full(job.method, job.kind):
                closed.add(place)
                continue
            if is_batch and batch_held + needed > self._memory / 2:
                closed.add(place)  # only the end of another batch job makes room for it
                continue
            if not self._running or held + needed <= self._memory:
                return job.name
            batch_may_start = False
            if not batch_held or batch_held + needed <= self._memory:
                return None  # the others end soon and make room for it
        return None

    def add(self, job: RunningJob) -> None:
        """Notes that a job runs."""
        self._running.add(job)
        self.report()

    def remove(self, job: RunningJob) -> None:
        """Notes that a job does not run any more."""
        self._running.discard(job)
        self.report()

    def report(self) -> None:
        """Sets the metrics of what runs, and of how much may."""
        metrics.JOBS.labels(State.RUNNING.value).set(len(self._running))
        metrics.JOBS_RESERVED_BYTES.set(self.reserved)
        for method in self._methods:
            metrics.JOBS_LIMIT.labels(method).set(min(self._capacity.most(method), self._most or inf))

    def _is_full(self, method: str, kind: Kind) -> bool:
        """True if no further job of this method and kind may start, whatever memory there is."""
        same_kind = [job for job in self._running if job.kind is kind]
        halves = kind is Kind.BATCH
        if _is_used_up(len(same_kind), len(self._running), self._most or inf, halves):
            return True
        of_kind = sum(job.requests for job in same_kind if job.method == method)
        of_all = sum(job.requests for job in self._running if job.method == method)
        most = self._capacity.most(method) if method in self._methods else 1
        return _is_used_up(of_kind, of_all, most, halves and method not in self._long)

    def _counted(self, job: ClaimableJob | RunningJob) -> int:
        """The bytes that count: a batch job never keeps all others from running, however much it needs."""
        return int(min(job.memory, self._memory / 2)) if job.kind is Kind.BATCH else job.memory


def _is_suspect(job: ClaimableJob | RunningJob) -> bool:
    return job.interruptions >= _SUSPECT


def _is_used_up(of_kind: int, of_all: int, most: float, halves: bool) -> bool:
    """True if a kind that holds `of_kind` places has none left of `most`, of which `of_all` are taken.

    The first place is its own; it gets at most half of all if it `halves`.
    """
    if most < 1:
        return True
    return of_kind > 0 and (of_all >= most or (halves and of_kind >= most // 2))
