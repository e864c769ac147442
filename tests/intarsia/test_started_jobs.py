"""Jobs end with the client that started them, unless they are detached."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

import intarsia
from intarsia import started_jobs
from intarsia.results import JobState
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.conftest import QUICK
from tests.intarsia.double import Double, Fault

WHERE = intarsia.click(120, 80)


def state(double: Double, job: intarsia.Job | intarsia.AsyncJob) -> Job.State:
    return double.jobs[job.name][-1].state


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are looked at ten times a second."""
    monkeypatch.setattr(started_jobs, "LEASE", 0.3)


def test_a_lease_is_asked_for_unless_the_job_is_detached(client: intarsia.Client, double: Double) -> None:
    client.edit_region(b"a picture", WHERE, "make it blue")
    client.edit_region(b"a picture", WHERE, "make it blue", detach=True)
    first, second = double.requests("EditRegion")
    assert first.job.watched_within.seconds == 30 and not second.job.HasField("watched_within")
    client.track_region(b"a clip", WHERE)
    client.track_region(b"a clip", WHERE, detach=True)
    first, second = double.requests("TrackRegion")
    assert first.watched_within.seconds == 30 and not second.HasField("watched_within")


def test_the_end_of_a_with_block_cancels_what_was_started_in_it(server: str, double: Double) -> None:
    double.by_hand = True
    with intarsia.Client(server, retry=QUICK) as client:
        lost, kept = (
            client.edit_region(b"a picture", WHERE, "make it blue", detach=detach) for detach in (False, True)
        )
        other = client.job(kept.name)
    assert state(double, lost) == Job.STATE_CANCELLED
    assert state(double, kept) == state(double, other) == Job.STATE_QUEUED


async def test_so_does_the_end_of_an_async_with_block(server: str, double: Double) -> None:
    double.by_hand = True
    with pytest.raises(ZeroDivisionError):
        async with intarsia.AsyncClient(server, retry=QUICK) as client:
            job = await client.edit_region(b"a picture", WHERE, "make it blue")
            _ = 1 / 0
    assert state(double, job) == Job.STATE_CANCELLED


def test_a_job_that_has_ended_is_not_cancelled(server: str, double: Double) -> None:
    with intarsia.Client(server, retry=QUICK) as client:
        client.edit_region(b"a picture", WHERE, "make it blue").result()
    assert double.requests("CancelJob") == []


def test_a_server_that_is_gone_does_not_keep_a_with_block(server: str, double: Double) -> None:
    double.by_hand = True
    double.faults["CancelJob"].append(Fault(grpc.StatusCode.UNAVAILABLE))
    with intarsia.Client(server) as client:
        for _ in range(3):
            client.edit_region(b"a picture", WHERE, "make it blue")
    assert len(double.requests("CancelJob")) == 1


@pytest.mark.usefixtures("often")
def test_a_client_keeps_the_jobs_that_it_does_not_watch(server: str, double: Double) -> None:
    double.by_hand = True
    client = intarsia.Client(server, retry=QUICK)
    job = client.edit_region(b"a picture", WHERE, "make it blue")
    double.until(lambda: len(double.requests("WatchJob")) >= 3)
    assert {(each.name, each.cancel_on_disconnect) for each in double.requests("WatchJob")} == {
        (job.name, False)
    }
    double.succeed(job.name)
    double.until(lambda: not client._core._calls.started._names)
    assert job.get().state == JobState.SUCCEEDED
    client.close()


@pytest.mark.usefixtures("often")
async def test_an_asyncio_client_keeps_them_too(double: Double, async_client: intarsia.AsyncClient) -> None:
    double.by_hand = True
    await async_client.edit_region(b"a picture", WHERE, "make it blue")
    await asyncio.to_thread(double.until, lambda: len(double.requests("WatchJob")) >= 3)


@pytest.mark.usefixtures("often")
def test_a_job_that_is_watched_needs_nothing_more(client: intarsia.Client, double: Double) -> None:
    double.by_hand = True
    job = client.edit_region(b"a picture", WHERE, "make it blue")
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.5)
    assert 1 <= len(double.requests("WatchJob")) <= 2, "its own, and at most one before it"


@pytest.mark.usefixtures("often")
def test_a_client_that_is_closed_meanwhile_ends_its_thread_quietly(
    server: str, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.by_hand = True
    arrived, closed = double._arrived, threading.Event()
    failures: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)

    def hold(method: str, request: Any, context: Any) -> Fault | None:
        fault = arrived(method, request, context)
        if method == "WatchJob":
            closed.wait(10)
        return fault

    monkeypatch.setattr(double, "_arrived", hold)
    before = set(threading.enumerate())
    client = intarsia.Client(server, retry=QUICK)
    for _ in range(2):
        client.edit_region(b"a picture", WHERE, "make it blue")
    (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "intarsia leases")
    double.until(lambda: bool(double.requests("WatchJob")))
    client.close()
    closed.set()
    thread.join(10)
    assert not thread.is_alive() and failures == []
