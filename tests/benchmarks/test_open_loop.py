"""EditUsers who do not wait for each other, against a small server that does as it is told."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from benchmarks.open_loop import EditUsers, UserRecord, as_profile, figures, patience_of, run, schedules_of
from intarsia.v1 import editing_pb2, editing_pb2_grpc, jobs_pb2, jobs_pb2_grpc

Job = jobs_pb2.Job


class Scripted(editing_pb2_grpc.EditingServicer, jobs_pb2_grpc.JobsServicer):
    """Does with a job what the instruction says."""

    def __init__(self) -> None:
        self.cancelled: set[str] = set()

    async def EditRegion(self, request, context):
        if request.instruction == "refuse":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return Job(name=request.instruction)

    async def WatchJob(self, request, context):
        yield Job(name=request.name, state=Job.STATE_RUNNING)
        if request.name == "break":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if request.name == "fail":
            yield Job(state=Job.STATE_FAILED, failure=jobs_pb2.Failure(status="INTERNAL"))
        elif request.name == "for ever":
            while request.name not in self.cancelled:
                await asyncio.sleep(0.005)
            yield Job(state=Job.STATE_CANCELLED)
        elif request.name != "end early":
            yield Job(state=Job.STATE_SUCCEEDED)

    async def CancelJob(self, request, context):
        self.cancelled.add(request.name)
        return Job(name=request.name)


@asynccontextmanager
async def served():
    server, servicer = grpc.aio.server(), Scripted()
    editing_pb2_grpc.add_EditingServicer_to_server(servicer, server)
    jobs_pb2_grpc.add_JobsServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def test_every_request_is_counted_under_the_status_it_ended_with():
    words = ["fine", "refuse", "fail", "break", "for ever", "end early"]
    requests = [editing_pb2.EditRegionRequest(instruction=word) for word in words]
    patience = [0.05 if word == "for ever" else None for word in words]
    async with served() as channel:
        records = await run([0.0] * len(words), EditUsers(channel, requests, patience))
    assert [record.status for record in records] == [
        "OK",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
        "UNAVAILABLE",
        "CANCELLED",
        "UNKNOWN",
    ]
    line = figures(records, offered=1.0)
    assert (line["came"], line["ok"], line["cancelled"], line["failed"]) == (6, 1, 1, 4)
    assert line["failed_with"] == "INTERNAL 1, RESOURCE_EXHAUSTED 1, UNAVAILABLE 1, UNKNOWN 1"
    assert [len(record.events) for record in records] == [2, 0, 2, 1, 2, 1]


async def test_users_arrive_on_schedule_whatever_happened_to_those_before():
    released = asyncio.Event()

    async def ask(number: int, record: UserRecord) -> None:
        if number == 2:  # the last to come lets everybody go: in a closed loop it never would
            released.set()
        await asyncio.wait_for(released.wait(), 5)
        record.status = "OK"

    records = await run([0.0, 0.01, 0.02], ask)
    assert [record.status for record in records] == ["OK"] * 3


async def test_the_time_of_a_user_counts_from_their_arrival_even_if_the_generator_was_late():
    """A generator held up for a while must not make the server look faster."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0  # every look takes a second: whoever came at 0.1 s is asked for much later
        return now

    async def ask(number: int, record: UserRecord) -> None:
        record.status = "OK"

    (first, second) = await run([0.0, 0.1], ask, clock)
    assert second.due - first.due == pytest.approx(0.1)
    assert second.sent > second.due + 1
    line = figures([first, second], offered=2.0)
    latest = max(record.ended - record.due for record in (first, second))
    assert line["done_p99_ms"] == pytest.approx(latest * 1e3, rel=0.05)
    assert line["generator_late_p99_ms"] > 1000


async def test_a_fault_of_the_generator_itself_is_no_status_but_an_error():
    async def ask(number: int, record: UserRecord) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run([0.0], ask)


def test_the_profile_has_every_request_with_its_times_and_status():
    record = UserRecord(due=1.0, sent=1.5, events=[2.0, 3.0], ended=3.5, status="OK")
    (experiment,) = as_profile([(2.0, [record])])["experiments"]
    assert experiment["experiment"] == {"mode": "request_rate", "value": 2.0}
    assert experiment["window_boundaries"] == [1_000_000_000, 3_500_000_000]
    assert experiment["requests"] == [
        {
            "timestamp": 1_000_000_000,
            "sent_timestamp": 1_500_000_000,
            "response_timestamps": [2_000_000_000, 3_000_000_000],
            "end_timestamp": 3_500_000_000,
            "status": "OK",
        }
    ]


def test_failures_are_not_timed_as_if_they_were_answers():
    quick = UserRecord(0.0, 0.0, [], 0.001, "UNAVAILABLE")
    slow = UserRecord(0.0, 0.0, [1.0], 2.0, "OK")
    assert figures([quick, slow], offered=1.0)["done_p50_ms"] == 2000.0
    assert figures([quick], offered=1.0)["done_p50_ms"] is None


def test_a_share_of_the_users_changes_their_mind():
    assert patience_of(50, 0.0, 1.0, seed=1) == [None] * 50
    assert all(0 <= after <= 3.0 for after in patience_of(50, 1.0, 3.0, seed=1))
    assert 5 < sum(after is not None for after in patience_of(200, 0.1, 1.0, seed=1)) < 40


def test_a_schedule_without_users_is_refused():
    def asked(**more) -> argparse.Namespace:
        return argparse.Namespace(**{"trace": None, "rates": [2.0], "seconds": 10.0, "seed": 1, **more})

    ((name, times, lasting),) = schedules_of(asked())
    assert (name, lasting) == ("poisson 2", 10.0) and 5 < len(times) < 40
    with pytest.raises(ValueError, match="no arrivals"):
        schedules_of(asked(rates=[1e-6]))
