"""The client for blocking code: the bodies of `AsyncClient`, run over a transport that blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intarsia.async_client import SERVER, AsyncClient
from intarsia.blocking import blocking, blocking_as, iterating, iterating_as
from intarsia.files import AsyncResultFile, ResultFile, with_blocking_files
from intarsia.jobs import AsyncJob, Job, blocking_status
from intarsia.results import PictureResult, RequestPlan, SegmentResult, TrackResult
from intarsia.retry import RetryPolicy
from intarsia.transport import BlockingTransport


def _blocking_plan(plan: RequestPlan[AsyncResultFile]) -> RequestPlan[ResultFile]:
    return with_blocking_files(plan)


def _blocking_segments(found: SegmentResult[AsyncResultFile]) -> SegmentResult[ResultFile]:
    return with_blocking_files(found)


def _picture_job(
    core: AsyncJob[PictureResult[AsyncResultFile]],
) -> Job[PictureResult[ResultFile]]:
    return Job(core)


def _track_job(core: AsyncJob[TrackResult[AsyncResultFile]]) -> Job[TrackResult[ResultFile]]:
    return Job(core)


def _any_job(core: AsyncJob[Any]) -> Job[Any]:
    return Job(core)


class Client:
    """A client that blocks; may be shared by threads. Everything is as in `AsyncClient`."""

    def __init__(
        self,
        server: str = SERVER,
        *,
        tls: bool | str | Path | bytes = False,
        token: str | None = None,
        timeout: float = 120.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._core = AsyncClient(
            server, tls=tls, token=token, timeout=timeout, retry=retry, transport=BlockingTransport
        )
        self.server = server

    edit_region = blocking_as(_picture_job, AsyncClient.edit_region)
    fill_region = blocking_as(_picture_job, AsyncClient.fill_region)
    remove_region = blocking_as(_picture_job, AsyncClient.remove_region)
    edit_request = blocking(AsyncClient.edit_request)
    fill_request = blocking(AsyncClient.fill_request)
    remove_request = blocking(AsyncClient.remove_request)
    start = blocking_as(_any_job, AsyncClient.start)
    plan_region = blocking_as(_blocking_plan, AsyncClient.plan_region)
    inspect_adapter = blocking(AsyncClient.inspect_adapter)
    segment_region = blocking_as(_blocking_segments, AsyncClient.segment_region)
    track_region = blocking_as(_track_job, AsyncClient.track_region)
    track_request = blocking(AsyncClient.track_request)
    upload = blocking(AsyncClient.upload)
    download = blocking(AsyncClient.download)
    read = blocking(AsyncClient.read)
    stream = iterating(AsyncClient.stream)
    get_artifact = blocking(AsyncClient.get_artifact)
    list_artifacts = iterating(AsyncClient.list_artifacts)
    pin = blocking(AsyncClient.pin)
    unpin = blocking(AsyncClient.unpin)
    delete = blocking(AsyncClient.delete)
    get_job = blocking_as(blocking_status, AsyncClient.get_job)
    list_jobs = iterating_as(blocking_status, AsyncClient.list_jobs)
    watch_job = iterating_as(blocking_status, AsyncClient.watch_job)
    wait = blocking_as(blocking_status, AsyncClient.wait)
    cancel_job = blocking_as(blocking_status, AsyncClient.cancel_job)
    pause_job = blocking_as(blocking_status, AsyncClient.pause_job)
    resume_job = blocking_as(blocking_status, AsyncClient.resume_job)
    retry_job = blocking_as(blocking_status, AsyncClient.retry_job)
    close = blocking(AsyncClient.close)
    leave = blocking(AsyncClient.leave)

    def job(self, name: str) -> Job[Any]:
        """The handle of a job, to wait for, watch, pause or cancel it; sends nothing to the server."""
        return Job(self._core.job(name))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
