"""Calls that are repeated when the connection breaks.

Every rpc of Intarsia may be repeated: reading changes nothing, bytes are stored under their digest, an edit
carries a request id, and a job that is paused, resumed, cancelled or tried again already stays as it is. So a
call that ends with `ModelDown` (the server cannot be reached, or went away during the call) is tried again,
with growing pauses, as often as the retry policy and the timeout allow. A server that has answered before is
given the time of a restart; one that never has may be a wrong address, so that is said sooner.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from intarsia import errors
from intarsia.started_jobs import StartedJobs
from intarsia.transport import Transport
from intarsia.v1.adapters_pb2_grpc import AdaptersStub
from intarsia.v1.artifacts_pb2_grpc import ArtifactsStub
from intarsia.v1.editing_pb2_grpc import EditingStub
from intarsia.v1.jobs_pb2_grpc import JobsStub
from intarsia.v1.segmentation_pb2_grpc import SegmentationStub


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts of a call, and the pauses between them, in seconds.

    Pauses double from `first_pause` to `longest_pause`; half of each is random, so that many clients of a
    restarted server do not all come back at the same moment. A server that has never answered is tried for
    `first_contact` seconds only.
    """

    attempts: int = 16  # three quarters of a minute
    first_pause: float = 0.2
    longest_pause: float = 5.0
    first_contact: float = 5.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row."""
        usual = min(self.longest_pause, self.first_pause * 2 ** (failures - 1))
        return usual * (0.5 + random.random() / 2)


class Calls:
    """The server's methods over one transport. `timeout` is that of calls without one of their own."""

    def __init__(self, transport: Transport, *, timeout: float, retry: RetryPolicy) -> None:
        self.transport, self.timeout, self._policy = transport, timeout, retry
        self.has_answered = False  # the server, to any call
        self.started = StartedJobs(self)

    @cached_property
    def editing(self) -> EditingStub:
        return EditingStub(self.transport.channel)

    @cached_property
    def segmentation(self) -> SegmentationStub:
        return SegmentationStub(self.transport.channel)

    @cached_property
    def adapters(self) -> AdaptersStub:
        return AdaptersStub(self.transport.channel)

    @cached_property
    def artifacts(self) -> ArtifactsStub:
        return ArtifactsStub(self.transport.channel)

    @cached_property
    def jobs(self) -> JobsStub:
        return JobsStub(self.transport.channel)

    async def unary(self, method: Any, request: Any) -> Any:
        """One response to one request, within `timeout` with all repeats."""
        attempts = self.attempts(self.timeout)
        while True:
            try:
                return await self.unary_once(method, request, attempts.time_left())
            except errors.ModelDown as error:
                await attempts.failed(error)

    async def unary_once(self, method: Any, request: Any, timeout: float | None) -> Any:
        """One response to one request, not repeated. An error of the server's is an answer too."""
        try:
            response = await self.transport.unary(method, request, timeout)
        except errors.IntarsiaError as error:
            self.has_answered |= not isinstance(error, errors.Unreachable | errors.TimeLimit)
            raise
        self.has_answered = True
        return response

    def server_stream(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """A stream of responses; not repeated, since only the caller knows where to continue."""
        return self.transport.server_stream(method, request, timeout)

    def attempts(self, timeout: float | None) -> Attempts:
        """A fresh count of failures, for a task that has `timeout` seconds in all."""
        return Attempts(self, self._policy, timeout)


class Attempts:
    """Counts failures in a row and decides whether there is another attempt."""

    def __init__(self, calls: Calls, retry: RetryPolicy, timeout: float | None) -> None:
        self._calls, self._policy, self._failures = calls, retry, 0
        self._began = time.monotonic()
        self._end = None if timeout is None else time.monotonic() + timeout

    def time_left(self) -> float | None:
        """Seconds until the time is up, never negative; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def succeeded(self) -> None:
        """Resets the count: something arrived."""
        self._failures = 0
        self._calls.has_answered = True

    async def failed(self, error: errors.ModelDown) -> None:
        """Returns after a pause if there is another attempt; raises `error` if not."""
        self._failures += 1
        pause, left = self._policy.pause(self._failures), self.time_left()
        if self._failures >= self._policy.attempts or (left is not None and left <= pause):
            raise error
        if not isinstance(error, errors.Unreachable):
            self._calls.has_answered = True
        elif not self._calls.has_answered:
            so_far = time.monotonic() - self._began
            if error.is_unknown_host or so_far + pause > self._policy.first_contact:
                raise error
        await self._calls.transport.sleep(pause)
