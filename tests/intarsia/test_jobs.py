"""Following, waiting for and stopping jobs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path

import grpc
import pytest

import intarsia
from intarsia import errors
from intarsia.results import JobState, JobStatus
from intarsia.v1.jobs_pb2 import Failure, Job
from tests.intarsia.double import Double, Fault

WHERE = intarsia.click(120, 80)


@pytest.fixture
def running(client: intarsia.Client, double: Double) -> intarsia.Job:
    """A job that ends only when the test says so."""
    double.by_hand = True
    return client.edit_region(b"a picture", WHERE, "make it blue")


def test_a_watch_ends_with_the_finished_job(client: intarsia.Client) -> None:
    job = client.edit_region(b"a picture", WHERE, "make it blue")
    states = list(job.watch())
    assert [state.state for state in states] == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert states[1].progress.stage == "denoise"


def test_a_result_names_the_picture(client: intarsia.Client) -> None:
    result = client.edit_region(b"a picture", WHERE, "make it blue").result()
    assert client.read(result.picture) == b"an edited picture"
    assert result.manifest.seed == 7


def test_a_broken_watch_is_taken_up_again(client: intarsia.Client, double: Double) -> None:
    double.faults["WatchJob"] += [Fault(grpc.StatusCode.UNAVAILABLE, after_chunks=1)] * 9
    double.faults["WatchJob"].append(Fault(grpc.StatusCode.UNAVAILABLE))
    job = client.edit_region(b"a picture", WHERE, "make it blue")
    *_, last = job.watch()
    assert last.state == JobState.SUCCEEDED
    assert len(double.requests("WatchJob")) == 11


def test_a_watch_gives_up_on_a_server_that_stays_away(
    client: intarsia.Client, double: Double, running: intarsia.Job
) -> None:
    double.faults["WatchJob"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 9
    with pytest.raises(errors.ModelDown):
        list(running.watch())


def test_leaving_a_tied_watch_cancels_the_job(double: Double, running: intarsia.Job) -> None:
    for _ in running.watch(cancel_on_disconnect=True):
        break
    double.until(lambda: double.jobs[running.name][-1].state == Job.STATE_CANCELLED)


async def test_leaving_a_tied_watch_cancels_in_asyncio_too(
    async_client: intarsia.AsyncClient, double: Double
) -> None:
    double.by_hand = True
    job = await async_client.edit_region(b"a picture", WHERE, "make it blue")

    async def follow() -> None:
        async for _ in job.watch(cancel_on_disconnect=True):
            pass

    task = asyncio.create_task(follow())
    await asyncio.to_thread(double.until, lambda: double.watchers == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(double.until, lambda: double.jobs[job.name][-1].state == Job.STATE_CANCELLED)


def test_leaving_a_watch_that_is_not_tied_lets_the_job_run(double: Double, running: intarsia.Job) -> None:
    for _ in running.watch():
        break
    double.until(lambda: double.watchers == 0)
    assert running.get().state == JobState.QUEUED


def test_waiting_ends_with_the_job(double: Double, running: intarsia.Job) -> None:
    def end() -> None:
        double.until(lambda: double.watchers > 0)
        double.succeed(running.name)

    ender = threading.Thread(target=end)
    ender.start()
    assert running.wait(timeout=10).state == JobState.SUCCEEDED
    ender.join()


def test_waiting_too_long_says_that_the_job_runs_on(double: Double, running: intarsia.Job) -> None:
    with pytest.raises(TimeoutError, match=running.name):
        running.wait(timeout=0.2)
    assert running.get().state == JobState.QUEUED


def test_the_servers_time_limit_is_not_ours(double: Double, running: intarsia.Job) -> None:
    double.faults["WatchJob"].append(Fault(errors.TimeLimit("the server's own")))
    with pytest.raises(errors.TimeLimit, match="the server's own"):
        running.wait(timeout=30)


def test_a_cancelled_job_has_no_result(running: intarsia.Job) -> None:
    assert running.cancel().state == JobState.CANCELLED
    assert running.cancel().state == JobState.CANCELLED
    with pytest.raises(errors.Cancelled, match=running.name):
        running.result()


def test_what_was_finished_of_a_cancelled_job_may_be_kept(
    client: intarsia.Client, running: intarsia.Job
) -> None:
    kept = running.cancel(keep_partial=True)
    assert kept.state == JobState.CANCELLED and isinstance(kept.error, errors.Cancelled)
    assert kept.result is not None and client.read(kept.result.picture) == b"an edited picture"
    with pytest.raises(errors.Cancelled):
        running.result()


def test_a_job_pauses_and_goes_on(running: intarsia.Job) -> None:
    assert running.resume().state == JobState.QUEUED
    assert running.pause().state == JobState.PAUSED
    assert running.pause().state == JobState.PAUSED and not JobState.PAUSED.finished
    assert running.resume().state == JobState.QUEUED


def test_a_watch_stays_with_a_job_that_pauses(double: Double, running: intarsia.Job) -> None:
    states = running.watch()
    assert next(states).state == JobState.QUEUED
    running.pause()
    assert next(states).state == JobState.PAUSED
    running.resume()
    double.succeed(running.name)
    assert [job.state for job in states] == [JobState.QUEUED, JobState.SUCCEEDED]


def test_a_failed_job_is_tried_again_under_its_name(double: Double, running: intarsia.Job) -> None:
    double.finish(running.name, Job.STATE_FAILED, Failure(reason="MODEL_DOWN", message="it went away"))
    with pytest.raises(errors.ModelDown):
        running.result()
    double.faults["RetryJob"].append(Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True))
    again = running.retry()
    assert (again.name, again.state, again.error) == (running.name, JobState.QUEUED, None)
    assert len(double.jobs[running.name]) == 3  # although the request was sent twice
    double.succeed(running.name)
    assert running.retry().state == JobState.SUCCEEDED


async def test_jobs_pause_and_are_tried_again_in_asyncio_too(
    async_client: intarsia.AsyncClient, double: Double
) -> None:
    double.by_hand = True
    job = await async_client.edit_region(b"a picture", WHERE, "make it blue")
    assert (await job.pause()).state == (await async_client.pause_job(job.name)).state == JobState.PAUSED
    assert (await async_client.resume_job(job.name)).state == (await job.resume()).state == JobState.QUEUED
    assert (await job.cancel(keep_partial=True)).result is not None
    assert (await async_client.retry_job(job.name)).state == (await job.retry()).state == JobState.QUEUED
    assert (await async_client.cancel_job(job.name)).state == JobState.CANCELLED


def test_jobs_are_found_by_method_and_labels(client: intarsia.Client, double: Double) -> None:
    edit = client.edit_region(b"a picture", WHERE, "make it blue", labels=["mural", "lot=7"], priority=4)
    fill = client.fill_region(b"a picture", WHERE, labels="mural", kind="batch")
    assert [job.name for job in client.list_jobs(labels="mural")] == [fill.name, edit.name]
    assert [job.name for job in client.list_jobs(labels=["lot=7", "mural"])] == [edit.name]
    assert [job.name for job in client.list_jobs(methods=["FillRegion"], states=["succeeded"])] == [fill.name]
    found = edit.get()
    assert (found.labels, found.priority, found.kind, found.attempt) == (("mural", "lot=7"), 4, "", 1)
    assert fill.get().kind == "batch"


def test_a_job_is_found_again_by_its_name(client: intarsia.Client, running: intarsia.Job) -> None:
    assert client.job(running.name).get().name == running.name
    with pytest.raises(errors.NotFound):
        client.get_job("jobs/unknown")


def test_a_list_runs_over_its_pages_as_needed(client: intarsia.Client, double: Double) -> None:
    names = [client.edit_region(b"a picture", WHERE, "make it blue").name for _ in range(5)]
    found = client.list_jobs(page_size=2)
    assert next(found).name == names[-1]
    assert len(double.requests("ListJobs")) == 1
    assert [job.name for job in found] == names[-2::-1]
    assert len(double.requests("ListJobs")) == 3
    assert list(client.list_jobs(states=["running", "failed"])) == []
    with pytest.raises(errors.InvalidRequest, match="succeeded"):
        list(client.list_jobs(states=["done"]))


def test_progress_is_told_while_a_result_is_waited_for(
    client: intarsia.Client, photo: Path, tmp_path: Path
) -> None:
    seen: list[JobStatus[intarsia.ResultFile]] = []
    job = client.edit_region(photo, (120, 80), "make it blue")
    result = job.result(progress=seen.append)
    assert [str(each.state) for each in seen] == ["queued", "running", "succeeded"]
    assert isinstance(seen[-1].result, intarsia.PictureResult)
    assert isinstance(seen[-1].result.picture, intarsia.ResultFile)
    assert result.save(tmp_path / "out.png") == tmp_path / "out.png"
    assert (tmp_path / "out.png").read_bytes() == b"an edited picture"


def test_the_types_of_results_are_told() -> None:
    for method, told in (
        (intarsia.Client.edit_region, "Job[PictureResult[ResultFile]]"),
        (intarsia.Client.track_region, "Job[TrackResult[ResultFile]]"),
        (intarsia.Client.list_jobs, "Iterator[JobStatus[ResultFile]]"),
        (intarsia.AsyncClient.edit_region, "AsyncJob[PictureResult[AsyncResultFile]]"),
    ):
        assert inspect.signature(method).return_annotation == told


async def test_progress_is_told_by_the_asyncio_client(server: str, photo: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    async with intarsia.AsyncClient(server) as client:
        job = await client.edit_region(photo, (120, 80), "make it blue")
        result = await job.result(progress=lambda each: seen.append(str(each.state)))
        assert await result.save(tmp_path / "out.png") == tmp_path / "out.png"
    assert seen == ["queued", "running", "succeeded"]
