"""Jobs: following, waiting for and stopping work on the server."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TypeAlias

from intarsia import errors, status
from intarsia.blocking import blocking, iterating
from intarsia.retry import Calls
from intarsia.v1 import jobs_pb2 as v1

STATES = {name.removeprefix("STATE_").lower(): value for name, value in v1.Job.State.items() if value}
FINISHED = (v1.Job.STATE_SUCCEEDED, v1.Job.STATE_FAILED, v1.Job.STATE_CANCELLED)


Made: TypeAlias = v1.EditRegionResult | v1.FillRegionResult
Result: TypeAlias = Made | v1.TrackRegionResult


class AsyncJob:
    """The handle of a job on the server. The job goes on without this object."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls, self.name = calls, name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def get(self) -> v1.Job:
        """Its current state."""
        return await get(self._calls, self.name)

    def watch(
        self, *, timeout: float | None = None, cancel_on_disconnect: bool = False
    ) -> AsyncGenerator[v1.Job, None]:
        """Its state now and after every change; the last one is the finished job."""
        return watch(self._calls, self.name, timeout=timeout, cancel_on_disconnect=cancel_on_disconnect)

    async def wait(self, timeout: float | None = None) -> v1.Job:
        """The finished job, however it ended. `TimeoutError` after `timeout` seconds; it goes on."""
        return await wait(self._calls, self.name, timeout)

    async def result(self, timeout: float | None = None) -> Result:
        """Its result. A job that failed or was cancelled raises its error, as an rpc would."""
        return result_of(await self.wait(timeout))

    async def cancel(self) -> v1.Job:
        """Cancels it; it ends within one step. A finished job stays as it is."""
        return await cancel(self._calls, self.name)


class Job:
    """The blocking version of `AsyncJob`."""

    def __init__(self, core: AsyncJob) -> None:
        self._core, self.name = core, core.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    get = blocking(AsyncJob.get)
    watch = iterating(AsyncJob.watch)
    wait = blocking(AsyncJob.wait)
    result = blocking(AsyncJob.result)
    cancel = blocking(AsyncJob.cancel)


def result_of(job: v1.Job) -> Result:
    """The result of a finished job; raises its error if it failed or was cancelled."""
    if job.state == v1.Job.STATE_SUCCEEDED:
        return getattr(job, job.WhichOneof("result") or "edit_region")
    if job.state == v1.Job.STATE_CANCELLED and not job.failure.reason:
        raise errors.Cancelled(job.failure.message or f"{job.name} was cancelled")
    raise status.from_failure(job.failure, job.name)


async def get(calls: Calls, name: str) -> v1.Job:
    return await calls.unary(calls.jobs.GetJob, v1.GetJobRequest(name=name))


async def cancel(calls: Calls, name: str) -> v1.Job:
    return await calls.unary(calls.jobs.CancelJob, v1.CancelJobRequest(name=name))


async def listing(calls: Calls, states: Iterable[str], page_size: int) -> AsyncGenerator[v1.Job, None]:
    """Jobs, newest first, page by page as they are needed."""
    request = v1.ListJobsRequest(page_size=page_size, states=[state_named(state) for state in states])
    while True:
        page = await calls.unary(calls.jobs.ListJobs, request)
        for job in page.jobs:
            yield job
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def state_named(word: str) -> v1.Job.State:
    """`running` -> STATE_RUNNING."""
    if word not in STATES:
        raise errors.InvalidRequest(f"unknown state {word!r}; one of: {', '.join(STATES)}", field="states")
    return STATES[word]


def word_of(state: v1.Job.State) -> str:
    """STATE_RUNNING -> `running`."""
    return v1.Job.State.Name(state).removeprefix("STATE_").lower()


async def watch(
    calls: Calls, name: str, *, timeout: float | None, cancel_on_disconnect: bool
) -> AsyncGenerator[v1.Job, None]:
    """A job until it is finished, through broken connections."""
    request = v1.WatchJobRequest(name=name, cancel_on_disconnect=cancel_on_disconnect)
    attempts = calls.attempts(timeout)
    while True:
        try:
            stream = calls.server_stream(calls.jobs.WatchJob, request, attempts.time_left())
            async with aclosing(stream):
                async for job in stream:
                    attempts.succeeded()
                    yield job
                    if job.state in FINISHED:
                        return
            raise errors.ModelDown(f"the stream of {name} ended early; try again")
        except errors.ModelDown as error:
            await attempts.failed(error)


async def wait(calls: Calls, name: str, timeout: float | None) -> v1.Job:
    """The finished job; `TimeoutError` if it is not finished in time."""
    end = None if timeout is None else time.monotonic() + timeout
    try:
        async with aclosing(watch(calls, name, timeout=timeout, cancel_on_disconnect=False)) as states:
            async for job in states:
                if job.state in FINISHED:
                    return job
    except errors.TimeLimit:
        if end is None or time.monotonic() < end - 0.05:
            raise  # the server's own limit
        raise TimeoutError(
            f"{name} is not finished after {timeout:g} s; it goes on: wait again or cancel it"
        ) from None
    raise errors.InternalError(f"the stream of {name} ended before the job did")
