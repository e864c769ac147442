"""The jobs that a client has started and that end with it.

Their requests ask for a watcher's lease: the server cancels a job that nobody watches. While the client
lives, it looks at those that it does not watch anyway, often enough to keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from intarsia import errors
from intarsia.v1.jobs_pb2 import CancelJobRequest, Job, WatchJobRequest

if TYPE_CHECKING:
    from intarsia.retry import Calls

LEASE = 30.0  # seconds for which a job goes on after the process that started it has ended
_CALL_SECONDS = 5.0
_CANCEL_SECONDS = 3.0
_ENDED = (Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED)


class StartedJobs:
    """Their names, from their start until they are known to have ended."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._names: dict[str, None] = {}
        self._watched: list[str] = []  # a name for every stream that is open
        self._stop: Callable[[], None] | None = None

    def add(self, name: str) -> None:
        """Keeps a job until it ends, or until this process does."""
        self._names[name] = None
        if self._stop is None:
            self._stop = self._calls.transport.repeat(LEASE / 3, self._renew)

    def discard(self, name: str) -> None:
        """Forgets a job that has ended."""
        self._names.pop(name, None)

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Notes that an open stream keeps the job."""
        self._watched.append(name)
        try:
            yield
        finally:
            self._watched.remove(name)

    def stop(self) -> None:
        """Keeps no job any more: the server cancels those that nobody else watches."""
        if self._stop is not None:
            self._stop()

    async def cancel(self) -> None:
        """Cancels all that have not ended, as far as the server can be reached."""
        names, self._names = list(self._names), {}
        for name in names:
            try:
                await self._calls.transport.unary(
                    self._calls.jobs.CancelJob, CancelJobRequest(name=name), _CANCEL_SECONDS
                )
            except (errors.ModelDown, errors.TimeLimit):
                return  # out of reach: the leases run out
            except errors.IntarsiaError:
                continue  # this one is forgotten, or not ours any more

    async def _renew(self) -> None:
        for name in list(self._names):
            if name in self._watched:
                continue
            try:
                if await self._has_ended(name):
                    self.discard(name)
            except (errors.ModelDown, errors.TimeLimit):
                return  # next time; the time does not count
            except errors.IntarsiaError:
                self.discard(name)

    async def _has_ended(self, name: str) -> bool:
        stream = self._calls.server_stream(
            self._calls.jobs.WatchJob, WatchJobRequest(name=name), _CALL_SECONDS
        )
        async with aclosing(stream):
            async for job in stream:
                return job.state in _ENDED
        return False
