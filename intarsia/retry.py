"""Calls that outlive a broken connection.

Every rpc of Intarsia may be repeated: reading changes nothing, bytes are stored under their digest, and
an edit carries a request id. So whatever ends with `ModelDown` (nobody there, or gone in mid-call) is
tried again, with growing pauses, until the caller's patience or time is used up.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from intarsia import errors
from intarsia.transport import Wire
from intarsia.v1.adapters_pb2_grpc import AdaptersStub
from intarsia.v1.artifacts_pb2_grpc import ArtifactsStub
from intarsia.v1.editing_pb2_grpc import EditingStub
from intarsia.v1.jobs_pb2_grpc import JobsStub
from intarsia.v1.segmentation_pb2_grpc import SegmentationStub


@dataclass(frozen=True)
class Patience:
    """How often a call is tried in a row, and how long the pauses between are, in seconds.

    Pauses double from `first` to `longest`; half of each is chance, so that many clients of a server
    which comes back do not all arrive at once.
    """

    attempts: int = 6
    first: float = 0.2
    longest: float = 5.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row."""
        return min(self.longest, self.first * 2 ** (failures - 1)) * (0.5 + random.random() / 2)


class Calls:
    """The server's methods, over one wire. `timeout` is that of calls which do not say otherwise."""

    def __init__(self, wire: Wire, *, timeout: float, patience: Patience) -> None:
        self.wire, self.timeout, self._patience = wire, timeout, patience

    @cached_property
    def editing(self) -> EditingStub:
        return EditingStub(self.wire.channel)

    @cached_property
    def segmentation(self) -> SegmentationStub:
        return SegmentationStub(self.wire.channel)

    @cached_property
    def adapters(self) -> AdaptersStub:
        return AdaptersStub(self.wire.channel)

    @cached_property
    def artifacts(self) -> ArtifactsStub:
        return ArtifactsStub(self.wire.channel)

    @cached_property
    def jobs(self) -> JobsStub:
        return JobsStub(self.wire.channel)

    async def ask(self, method: Any, request: Any) -> Any:
        """One question, one answer, within `timeout` in all."""
        attempts = self.attempts(self.timeout)
        while True:
            try:
                return await self.wire.ask(method, request, attempts.time_left())
            except errors.ModelDown as error:
                await attempts.failed(error)

    def hear(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """A stream of answers; not repeated, since only the caller knows where to go on."""
        return self.wire.hear(method, request, timeout)

    def attempts(self, timeout: float | None) -> Attempts:
        """A fresh count of failures, for a task that has `timeout` seconds in all."""
        return Attempts(self.wire, self._patience, timeout)


class Attempts:
    """Counts failures in a row and decides whether there is another attempt."""

    def __init__(self, wire: Wire, patience: Patience, timeout: float | None) -> None:
        self._wire, self._patience, self._failures = wire, patience, 0
        self._end = None if timeout is None else time.monotonic() + timeout

    def time_left(self) -> float | None:
        """Seconds until the time is up, never negative; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def succeeded(self) -> None:
        """Something arrived: what failed before no longer counts."""
        self._failures = 0

    async def failed(self, error: errors.ModelDown) -> None:
        """Returns after a pause if there is another attempt; raises `error` if not."""
        self._failures += 1
        pause, left = self._patience.pause(self._failures), self.time_left()
        if self._failures >= self._patience.attempts or (left is not None and left <= pause):
            raise error
        await self._wire.sleep(pause)
