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

    @property
    def is_final(self) -> bool:
        """True once nothing changes any more."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Job:
    """A job at one moment: its state, its progress, and its result or failure."""

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
    ) -> Job:
        """Queues a request as a job and returns it at once.

        The job carries out `request`, for which it `needs` so much; `original` is what the client sent, if
        that is not the same. The same request id and original give the same job; with another
        original it is an InvalidRequest. Raises Busy when too many wait, ModelDown while the server shuts
        down. `time_limit`, in seconds, counts from now.
        """

    async def get(self, caller: Caller, name: str) -> Job:
        """The job as it is now; NotFound if the caller has none of that name."""

    async def list(self, caller: Caller, *, size: int, token: str = "", states: Sequence[State] = ()) -> Page:
        """A page of the caller's jobs in some states, or in all."""

    def watch(self, caller: Caller, name: str) -> AsyncGenerator[Job, None]:
        """Yields the job now and after changes, at most ten times a second; the last one is final."""

    async def cancel(self, caller: Caller, name: str) -> Job:
        """Asks a job to stop and returns it; a finished one stays as it is."""

    async def drain(self, grace: float) -> bool:
        """Takes no more jobs and returns when every job is final; after `grace` seconds those that are not
        fail. True if one succeeded meanwhile: its client will still fetch the result."""


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
