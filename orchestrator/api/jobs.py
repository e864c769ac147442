"""`intarsia.v1.Jobs`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from intarsia.errors import IntarsiaError, ModelDown
from intarsia.v1 import jobs_pb2 as pb
from intarsia.v1 import jobs_pb2_grpc as rpc
from orchestrator import logs
from orchestrator.api import fields, from_proto, to_proto
from orchestrator.api.caller import caller_of
from orchestrator.caller import Caller
from orchestrator.jobs import job as jobs

log = logging.getLogger(__name__)

_Request: TypeAlias = (
    pb.GetJobRequest
    | pb.WatchJobRequest
    | pb.CancelJobRequest
    | pb.PauseJobRequest
    | pb.ResumeJobRequest
    | pb.RetryJobRequest
)


class Jobs(rpc.JobsServicer):
    """Follows, pauses, repeats and ends jobs."""

    def __init__(self, driver: jobs.JobDriver) -> None:
        self._jobs = driver
        self._ending: set[asyncio.Future[None]] = set()

    async def GetJob(self, request: pb.GetJobRequest, context: grpc.aio.ServicerContext) -> pb.Job:
        caller = caller_of(context)
        return to_proto.job(await self._jobs.get(caller, _job_name(request)))

    async def ListJobs(
        self, request: pb.ListJobsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListJobsResponse:
        caller = caller_of(context)
        page = await self._jobs.list(
            caller,
            size=fields.page_size(request.page_size),
            token=request.page_token,
            filter=from_proto.job_filter(request),
        )
        return pb.ListJobsResponse(
            jobs=[to_proto.job(job) for job in page.jobs], next_page_token=page.next_token
        )

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.Job]:
        caller = caller_of(context)
        name = _job_name(request)
        await self._jobs.get(caller, name)
        ends_job = request.cancel_on_disconnect

        def closed(_: Any) -> None:
            if ends_job:
                self._cancel_soon(caller, name)

        context.add_done_callback(closed)
        try:
            async with aclosing(self._jobs.watch(caller, name)) as states:
                async for state in states:
                    if state.state.is_final:
                        ends_job = False  # who reads this may retry the job at once
                    yield to_proto.job(state)
        except ModelDown:
            ends_job = False  # the server stops, or its database is away: the job can be watched again
            raise

    async def CancelJob(self, request: pb.CancelJobRequest, context: grpc.aio.ServicerContext) -> pb.Job:
        caller = caller_of(context)
        name = _job_name(request)
        return to_proto.job(await self._jobs.cancel(caller, name, keep_partial=request.keep_partial))

    async def PauseJob(self, request: pb.PauseJobRequest, context: grpc.aio.ServicerContext) -> pb.Job:
        caller = caller_of(context)
        return to_proto.job(await self._jobs.pause(caller, _job_name(request)))

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: grpc.aio.ServicerContext) -> pb.Job:
        caller = caller_of(context)
        return to_proto.job(await self._jobs.resume(caller, _job_name(request)))

    async def RetryJob(self, request: pb.RetryJobRequest, context: grpc.aio.ServicerContext) -> pb.Job:
        caller = caller_of(context)
        return to_proto.job(await self._jobs.retry(caller, _job_name(request)))

    def _cancel_soon(self, caller: Caller, name: str) -> None:
        ending = asyncio.ensure_future(self._cancel(caller, name))
        self._ending.add(ending)  # the loop itself keeps tasks only weakly
        ending.add_done_callback(self._ending.discard)

    async def _cancel(self, caller: Caller, name: str) -> None:
        try:
            await self._jobs.cancel(caller, name)
        except IntarsiaError as error:
            log.warning("%s goes on although its client has left: %s", name, error)


def _job_name(request: _Request) -> str:
    """The name of a request's job, which is logged with every message from now on."""
    name = fields.job(request.name, "name")
    logs.job.set(name)
    return name
