"""Jobs: following, waiting for, pausing, repeating and stopping work on the server."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeAlias, TypeVar

from intarsia import errors, from_proto
from intarsia.blocking import blocking_as, iterating_as, run
from intarsia.files import AsyncResultFile, ResultFile, with_blocking_files
from intarsia.job_settings import label_list
from intarsia.results import JobState, JobStatus
from intarsia.retry import Calls
from intarsia.v1 import jobs_pb2 as v1

R = TypeVar("R")  # a `PictureResult` or a `TrackResult`
ProgressCallback: TypeAlias = Callable[[JobStatus[Any]], None]


class AsyncJob(Generic[R]):
    """The handle of a job on the server. The job goes on without this object, but not without its client,
    unless it was started with `detach`."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls, self.name = calls, name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def get(self) -> JobStatus[AsyncResultFile]:
        """Its current state."""
        return await get(self._calls, self.name)

    def watch(
        self, *, timeout: float | None = None, cancel_on_disconnect: bool = False
    ) -> AsyncGenerator[JobStatus[AsyncResultFile], None]:
        """Its state now and after every change; the last one is the finished job."""
        return watch(self._calls, self.name, timeout=timeout, cancel_on_disconnect=cancel_on_disconnect)

    async def wait(
        self,
        timeout: float | None = None,
        *,
        progress: ProgressCallback | None = None,
    ) -> JobStatus[AsyncResultFile]:
        """The finished job, however it ended. `TimeoutError` after `timeout` seconds; it goes on.

        `progress` is called with its state now and after every change.
        """
        return await wait(self._calls, self.name, timeout, progress)

    async def result(
        self,
        timeout: float | None = None,
        *,
        progress: ProgressCallback | None = None,
    ) -> R:
        """Its `PictureResult` or `TrackResult`; raises the error of a job that failed or was cancelled.

        `progress` is called with its state now and after every change.
        """
        return result_of(await self.wait(timeout, progress=progress))

    async def cancel(self, *, keep_partial: bool = False) -> JobStatus[AsyncResultFile]:
        """Cancels it; it ends within one step. A finished job stays as it is.

        With `keep_partial`, what is finished becomes the `result` of the cancelled job.
        """
        return await cancel(self._calls, self.name, keep_partial=keep_partial)

    async def pause(self) -> JobStatus[AsyncResultFile]:
        """Pauses it: at once if it waits, else at its next point that is remembered."""
        return await pause(self._calls, self.name)

    async def resume(self) -> JobStatus[AsyncResultFile]:
        """Lets it go on if it is paused."""
        return await resume(self._calls, self.name)

    async def retry(self) -> JobStatus[AsyncResultFile]:
        """Starts it again, with what it made before, if it failed or was cancelled."""
        return await retry(self._calls, self.name)


def blocking_status(status: JobStatus[AsyncResultFile]) -> JobStatus[ResultFile]:
    """A job whose files have blocking handles."""
    return with_blocking_files(status)


class Job(Generic[R]):
    """The blocking version of `AsyncJob`."""

    def __init__(self, core: AsyncJob[Any]) -> None:
        self._core, self.name = core, core.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    get = blocking_as(blocking_status, AsyncJob.get)
    watch = iterating_as(blocking_status, AsyncJob.watch)
    cancel = blocking_as(blocking_status, AsyncJob.cancel)
    pause = blocking_as(blocking_status, AsyncJob.pause)
    resume = blocking_as(blocking_status, AsyncJob.resume)
    retry = blocking_as(blocking_status, AsyncJob.retry)

    def wait(
        self, timeout: float | None = None, *, progress: ProgressCallback | None = None
    ) -> JobStatus[ResultFile]:
        """The finished job, however it ended. `TimeoutError` after `timeout` seconds; it goes on.

        `progress` is called with its state now and after every change.
        """

        def tell(job: JobStatus[AsyncResultFile]) -> None:
            if progress is not None:
                progress(blocking_status(job))

        return blocking_status(run(self._core.wait(timeout, progress=tell)))

    def result(self, timeout: float | None = None, *, progress: ProgressCallback | None = None) -> R:
        """Its `PictureResult` or `TrackResult`; raises the error of a job that failed or was cancelled.

        `progress` is called with its state now and after every change.
        """
        return result_of(self.wait(timeout, progress=progress))


def result_of(job: JobStatus[Any]) -> Any:
    """The result of a finished job; raises its error if it failed or was cancelled."""
    if job.error is not None:
        raise job.error
    if job.result is None:
        raise errors.InternalError(
            f"{job.name} has no result that this client knows; is the server newer? Then update the client"
        )
    return job.result


async def get(calls: Calls, name: str) -> JobStatus[AsyncResultFile]:
    return _status(calls, await calls.unary(calls.jobs.GetJob, v1.GetJobRequest(name=name)))


async def cancel(calls: Calls, name: str, *, keep_partial: bool = False) -> JobStatus[AsyncResultFile]:
    request = v1.CancelJobRequest(name=name, keep_partial=keep_partial)
    return _status(calls, await calls.unary(calls.jobs.CancelJob, request))


async def pause(calls: Calls, name: str) -> JobStatus[AsyncResultFile]:
    return _status(calls, await calls.unary(calls.jobs.PauseJob, v1.PauseJobRequest(name=name)))


async def resume(calls: Calls, name: str) -> JobStatus[AsyncResultFile]:
    return _status(calls, await calls.unary(calls.jobs.ResumeJob, v1.ResumeJobRequest(name=name)))


async def retry(calls: Calls, name: str) -> JobStatus[AsyncResultFile]:
    return _status(calls, await calls.unary(calls.jobs.RetryJob, v1.RetryJobRequest(name=name)))


async def listing(
    calls: Calls, states: Iterable[str], methods: Iterable[str], labels: Iterable[str], page_size: int
) -> AsyncGenerator[JobStatus[AsyncResultFile], None]:
    """Jobs, newest first, page by page as they are needed."""
    request = v1.ListJobsRequest(
        page_size=page_size,
        states=[_state_number(state) for state in states],
        methods=methods,
        labels=label_list(labels),
    )
    while True:
        page = await calls.unary(calls.jobs.ListJobs, request)
        for job in page.jobs:
            yield _status(calls, job)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def watch(
    calls: Calls, name: str, *, timeout: float | None, cancel_on_disconnect: bool
) -> AsyncGenerator[JobStatus[AsyncResultFile], None]:
    """A job's states until it is finished, through broken connections."""
    request = v1.WatchJobRequest(name=name, cancel_on_disconnect=cancel_on_disconnect)
    attempts = calls.attempts(timeout)
    while True:
        try:
            stream = calls.server_stream(calls.jobs.WatchJob, request, attempts.time_left())
            with calls.started.watching(name):
                async with aclosing(stream):
                    async for message in stream:
                        attempts.succeeded()
                        job = _status(calls, message)
                        if job.state.finished:
                            calls.started.discard(name)
                        yield job
                        if job.state.finished:
                            return
            raise errors.ModelDown(f"the stream of {name} ended early; try again")
        except errors.ModelDown as error:
            await attempts.failed(error)


async def wait(
    calls: Calls,
    name: str,
    timeout: float | None,
    progress: ProgressCallback | None = None,
) -> JobStatus[AsyncResultFile]:
    """The finished job; `TimeoutError` if it is not finished in time."""
    end = None if timeout is None else time.monotonic() + timeout
    try:
        async with aclosing(watch(calls, name, timeout=timeout, cancel_on_disconnect=False)) as states:
            async for job in states:
                if progress is not None:
                    progress(job)
                if job.state.finished:
                    return job
    except errors.TimeLimit:
        if end is None or time.monotonic() < end - 0.05:
            raise  # the server's own limit
        raise TimeoutError(
            f"{name} is not finished after {timeout:g} s; it goes on: wait again or cancel it"
        ) from None
    raise errors.InternalError(f"the stream of {name} ended before the job did")


def _status(calls: Calls, message: v1.Job) -> JobStatus[AsyncResultFile]:
    return from_proto.job_status(message, lambda name: AsyncResultFile(name, calls))


def _state_number(state: str) -> v1.Job.State:
    try:
        return v1.Job.State.Value(f"STATE_{JobState(state).name}")
    except ValueError:
        known = ", ".join(JobState)
        raise errors.InvalidRequest(f"unknown state {state!r}; one of: {known}", field="states") from None
