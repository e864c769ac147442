"""Jobs: their state at a moment, the interface of whatever drives them, and their ids."""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from intarsia.errors import IntarsiaError
from orchestrator.caller import Caller
from orchestrator.runs.needs import LITTLE, Needs
from orchestrator.runs.run import Progress

PREFIX = "jobs/"


class State(enum.Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"

    @property
    def is_final(self) -> bool:
        """True once nothing changes any more."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Kind(enum.Enum):
    """The kind of a job; each kind has places of its own, so that neither waits for the other."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True)
class Job:
    """A job at one moment: its state, its progress, and its result or failure.

    `attempt` counts how often it has begun to run. A cancelled job has a result if it was kept.
    """

    name: str
    method: str
    state: State
    created: datetime
    request_id: str = ""
    progress: Progress = field(default_factory=Progress)
    failure: IntarsiaError | None = None
    result: Any = None
    started: datetime | None = None
    ended: datetime | None = None
    kind: Kind = Kind.INTERACTIVE
    priority: int = 0
    labels: tuple[str, ...] = ()
    attempt: int = 0


@dataclass(frozen=True)
class JobFilter:
    """Chooses jobs in one of these states, of one of these methods, with all of these labels; empty: any."""

    states: frozenset[State] = frozenset()
    methods: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()


ALL_JOBS = JobFilter()


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first, and the token that asks for the next ones; empty after the last."""

    jobs: tuple[Job, ...]
    next_token: str = ""


class JobDriver(Protocol):
    """Drives jobs. The implementation decides what survives the end of the process."""

    async def repeated(
        self,
        caller: Caller,
        method: str,
        original: Any,
        *,
        request_id: str,
        time_limit: float | None = None,
    ) -> Job | None:
        """The job that this request id gave before, None if it is new.

        Raises InvalidRequest if it was used for another request.
        """

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
        """Queues a request as a job and returns it at once.

        The job carries out `request`, for which it `needs` so much; `original` is what the client sent, if
        that is not the same. The same request id and original give the same job; with another
        original it is an InvalidRequest. Raises Busy when too many wait, ModelDown while the server shuts
        down. `time_limit`, in seconds, counts while the job runs, over all attempts. Of the jobs of a `kind`
        that wait, those of greater `priority` run first. The job is cancelled when nobody has watched it for
        `watched_within` seconds in which the server answered; None: it needs no watcher.
        """

    async def get(self, caller: Caller, name: str) -> Job:
        """The job as it is now; NotFound if the caller has none of that name."""

    async def list(self, caller: Caller, *, size: int, token: str = "", filter: JobFilter = ALL_JOBS) -> Page:
        """A page of the caller's jobs that a filter chooses."""

    def watch(self, caller: Caller, name: str) -> AsyncGenerator[Job, None]:
        """Yields the job now and after changes, at most ten times a second; the last one is final."""

    async def cancel(self, caller: Caller, name: str, *, keep_partial: bool = False) -> Job:
        """Asks a job to stop and returns it; a finished one stays as it is.

        With `keep_partial`, what is finished becomes its result.
        """

    async def pause(self, caller: Caller, name: str) -> Job:
        """Asks a job to pause and returns it: one that waits pauses at once, one that runs at its next
        remembered point. A paused or a finished one stays as it is."""

    async def resume(self, caller: Caller, name: str) -> Job:
        """Queues a paused job again and returns it; takes back what `pause` asked of one that still runs. Any
        other one stays as it is."""

    async def retry(self, caller: Caller, name: str) -> Job:
        """Queues a failed or cancelled job again, with all that it remembers, and returns it; any other one
        stays as it is."""

    async def drain(self, grace: float) -> bool:
        """Takes no more jobs and returns when none runs here; what does after `grace` seconds is handed back,
        and goes on elsewhere or later. True if a job succeeded meanwhile: its client will still fetch the
        result."""


class JobIds:
    """Generates job names that sort by the time they were made: UUIDs of version 7, without dashes."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        """A name greater than every earlier one."""
        # 48 bits of milliseconds and 12 bits within them; two names in a moment differ by their order.
        self._last = max(self._last + 1, int(time.time() * 1000) << 12)
        when, within = self._last >> 12, self._last & 0xFFF
        number = when << 80 | 0x7 << 76 | within << 64 | 0b10 << 62 | secrets.randbits(62)
        return f"{PREFIX}{number:032x}"
