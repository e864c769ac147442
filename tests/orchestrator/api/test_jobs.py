"""The rpcs about jobs, in front of a driver that carries nothing out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from intarsia import status
from intarsia.errors import InvalidRequest, NotFound
from intarsia.v1 import jobs_pb2 as pb
from intarsia.v1 import jobs_pb2_grpc as rpc
from intarsia.v1.jobs_pb2 import Job
from orchestrator.api.interceptor import CallInterceptor
from orchestrator.api.jobs import Jobs
from orchestrator.jobs.job import Kind
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.doubles.driver import StillJobs

Ask = Callable[[str, Any], Awaitable[Any]]


@pytest.fixture
async def stub(driver: StillJobs) -> AsyncIterator[rpc.JobsStub]:
    server = grpc.aio.server(interceptors=(CallInterceptor(),))
    rpc.add_JobsServicer_to_server(Jobs(driver), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield rpc.JobsStub(channel)
    await server.stop(None)


@pytest.fixture
def driver() -> StillJobs:
    return StillJobs()


@pytest.fixture
def ask(stub: rpc.JobsStub) -> Ask:
    """Sends a request to a method of `intarsia.v1.Jobs`."""

    async def send(method: str, request: Any) -> Any:
        try:
            return await getattr(stub, method)(request)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error, "the server") from error

    return send


async def submit(driver: StillJobs, method: str = "EditRegion", **terms: Any) -> str:
    return (await driver.submit(LOCAL, method, "request", **terms)).name


async def test_a_job_shows_its_kind_priority_and_labels(ask: Ask, driver: StillJobs) -> None:
    name = await submit(driver, kind=Kind.BATCH, priority=-7, labels=("lot=7", "mural"))
    job = await ask("GetJob", pb.GetJobRequest(name=name))
    assert (job.kind, job.priority, job.labels) == (Job.KIND_BATCH, -7, ["lot=7", "mural"])
    assert (job.state, job.attempt) == (Job.STATE_QUEUED, 0)


async def test_a_job_is_paused_resumed_cancelled_and_tried_again(ask: Ask, driver: StillJobs) -> None:
    name = await submit(driver)
    for method, request, state in (
        ("ResumeJob", pb.ResumeJobRequest, Job.STATE_QUEUED),  # it is not paused
        ("PauseJob", pb.PauseJobRequest, Job.STATE_PAUSED),
        ("PauseJob", pb.PauseJobRequest, Job.STATE_PAUSED),
        ("ResumeJob", pb.ResumeJobRequest, Job.STATE_QUEUED),
        ("RetryJob", pb.RetryJobRequest, Job.STATE_QUEUED),
        ("CancelJob", pb.CancelJobRequest, Job.STATE_CANCELLED),
        ("PauseJob", pb.PauseJobRequest, Job.STATE_CANCELLED),
        ("RetryJob", pb.RetryJobRequest, Job.STATE_QUEUED),
    ):
        assert (await ask(method, request(name=name))).state == state
    assert driver.keeps_partial == []
    cancelled = await ask("CancelJob", pb.CancelJobRequest(name=name, keep_partial=True))
    assert cancelled.state == Job.STATE_CANCELLED and driver.keeps_partial == [name]


@pytest.mark.parametrize("method", ["Get", "Cancel", "Pause", "Resume", "Retry"])
async def test_names_are_checked_before_they_are_looked_up(ask: Ask, method: str) -> None:
    request = getattr(pb, f"{method}JobRequest")
    with pytest.raises(InvalidRequest) as caught:
        await ask(f"{method}Job", request(name="jobs/7"))
    assert caught.value.field == "name"
    with pytest.raises(NotFound):
        await ask(f"{method}Job", request(name="jobs/" + "0" * 32))


async def test_a_tied_watch_that_the_client_leaves_cancels_the_job(
    stub: rpc.JobsStub, driver: StillJobs
) -> None:
    name = await submit(driver)
    watch = stub.WatchJob(pb.WatchJobRequest(name=name, cancel_on_disconnect=True))
    assert (await watch.read()).state == Job.STATE_QUEUED
    watch.cancel()
    await asyncio.wait_for(driver.cancelled.wait(), 10)


async def test_a_tied_watch_that_the_server_ends_leaves_the_job_alone(
    stub: rpc.JobsStub, driver: StillJobs
) -> None:
    name = await submit(driver)
    watch = stub.WatchJob(pb.WatchJobRequest(name=name, cancel_on_disconnect=True))
    assert (await watch.read()).state == Job.STATE_QUEUED
    driver.stopped.set()
    with pytest.raises(grpc.aio.AioRpcError, match="goes on"):
        await watch.read()
    await stub.GetJob(pb.GetJobRequest(name=name))  # what follows the end of the watch has run by now
    assert not driver.cancelled.is_set()


async def test_a_tied_watch_that_saw_the_end_cancels_nothing(stub: rpc.JobsStub, driver: StillJobs) -> None:
    name = await submit(driver)
    await driver.cancel(LOCAL, name)
    driver.cancelled.clear()
    watch = stub.WatchJob(pb.WatchJobRequest(name=name, cancel_on_disconnect=True))
    assert [job.state async for job in watch] == [Job.STATE_CANCELLED]
    assert (await stub.RetryJob(pb.RetryJobRequest(name=name))).state == Job.STATE_QUEUED
    await stub.GetJob(pb.GetJobRequest(name=name))  # what follows the end of the watch has run by now
    assert not driver.cancelled.is_set()


async def test_a_job_that_cannot_be_cancelled_when_its_client_leaves_is_logged(
    stub: rpc.JobsStub, driver: StillJobs, caplog: pytest.LogCaptureFixture
) -> None:
    name = await submit(driver)
    watch = stub.WatchJob(pb.WatchJobRequest(name=name, cancel_on_disconnect=True))
    assert (await watch.read()).state == Job.STATE_QUEUED
    del driver.jobs[name]
    watch.cancel()
    await asyncio.wait_for(driver.cancelled.wait(), 10)
    await asyncio.sleep(0)
    assert f"{name} goes on although its client has left" in caplog.text


async def test_lists_are_limited_to_states_methods_and_labels(ask: Ask, driver: StillJobs) -> None:
    edit = await submit(driver, labels=("lot=7", "mural"))
    fill = await submit(driver, "FillRegion", labels=("mural",))
    track = await submit(driver, "TrackRegion")
    await driver.pause(LOCAL, track)

    async def listed(**limits: Any) -> list[str]:
        return [job.name for job in (await ask("ListJobs", pb.ListJobsRequest(**limits))).jobs]

    assert await listed() == [track, fill, edit]
    assert await listed(labels=["mural"]) == [fill, edit]
    assert await listed(labels=["mural", "lot=7"]) == [edit]
    assert await listed(methods=["EditRegion", "TrackRegion"]) == [track, edit]
    assert await listed(states=[Job.STATE_PAUSED]) == [track]
    assert await listed(states=[Job.STATE_PAUSED], labels=["mural"]) == []


async def test_a_page_stays_the_same_while_jobs_come_and_go(ask: Ask, driver: StillJobs) -> None:
    names = [await submit(driver, labels=("mural",)) for _ in range(5)]
    limits = {"page_size": 2, "labels": ["mural"]}
    first = await ask("ListJobs", pb.ListJobsRequest(**limits))
    del driver.jobs[names[3]]  # the last one of the first page: its name still says where the next one begins
    await submit(driver, labels=("mural",))
    second = await ask("ListJobs", pb.ListJobsRequest(**limits, page_token=first.next_page_token))
    third = await ask("ListJobs", pb.ListJobsRequest(**limits, page_token=second.next_page_token))
    pages = [[job.name for job in page.jobs] for page in (first, second, third)]
    assert pages == [[names[4], names[3]], [names[2], names[1]], [names[0]]]
    assert third.next_page_token == ""
    for other in ({"labels": ["other"]}, {"methods": ["EditRegion"]}, {"states": [Job.STATE_QUEUED]}, {}):
        with pytest.raises(InvalidRequest) as caught:
            await ask("ListJobs", pb.ListJobsRequest(**other, page_token=first.next_page_token))
        assert caught.value.field == "page_token"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"methods": ["edit-region"]}, "methods"),
        ({"labels": ["two words"]}, "labels"),
        ({"labels": [""]}, "labels"),
        ({"labels": [f"{n}" for n in range(17)]}, "labels"),
    ],
)
async def test_wrong_lists_are_refused_by_their_field(ask: Ask, limits: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await ask("ListJobs", pb.ListJobsRequest(**limits))
    assert caught.value.field == field
