"""What do independent users experience? Edits at given rates of arrival, through the orchestrator's rpcs.

    python -m benchmarks.open_loop --rates 0.5 1 2 --seconds 15
    python -m benchmarks.open_loop --trace arrivals.txt

A closed loop slows down together with its server and so hides how long users would have waited. Here every
user arrives on schedule, and their time counts from that moment, even if the generator itself was late. gRPC
errors, failed jobs and refused requests are failures, counted by status. A share of the edits is cancelled
after a while. The times of each request are written to `open_loop_requests.json`, in the form of
perf_analyzer's profile export.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, milliseconds
from benchmarks.stack import stack
from intarsia.editing import edit_region_request
from intarsia.v1 import editing_pb2, editing_pb2_grpc, jobs_pb2, jobs_pb2_grpc
from services.bundles.bundle import Bundle

WIDTH, HEIGHT = 480, 320
CANCELLED, OK = "CANCELLED", "OK"


@dataclass
class UserRecord:
    """The times of one user, in seconds on one clock; `due` is the arrival."""

    due: float
    sent: float = 0.0
    events: list[float] = field(default_factory=list)
    ended: float = 0.0
    status: str = "UNKNOWN"  # OK, CANCELLED, or a gRPC status


Ask = Callable[[int, UserRecord], Awaitable[None]]
Schedule = tuple[str, list[float], float]  # name, times of arrival, and duration in seconds


async def run(
    arrivals: Sequence[float], ask: Ask, clock: Callable[[], float] = time.monotonic
) -> list[UserRecord]:
    """Starts every user on schedule, whatever happened to those before, and returns their times."""
    began = clock()
    records = [UserRecord(began + offset) for offset in arrivals]

    async def one(number: int, record: UserRecord) -> None:
        record.sent = clock()
        try:
            await ask(number, record)
        except grpc.RpcError as error:
            record.status = error.code().name
        record.ended = clock()

    async with _TaskSet() as tasks:
        for number, record in enumerate(records):
            await asyncio.sleep(max(record.due - clock(), 0))
            tasks.start(one(number, record))
    return records


class _TaskSet:
    """Tasks that are all awaited at the end; an error in one of them is raised then."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def __aenter__(self) -> _TaskSet:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._tasks)


class EditUsers:
    """Edits through EditRegion and WatchJob, with plain stubs: no call is retried, no error is hidden."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        requests: Sequence[editing_pb2.EditRegionRequest],
        patience: Sequence[float | None],
    ) -> None:
        """`patience`: seconds after which a user cancels, None for a user who does not."""
        self._editing = editing_pb2_grpc.EditingStub(channel)
        self._jobs = jobs_pb2_grpc.JobsStub(channel)
        self._requests, self._patience = requests, patience

    async def __call__(self, number: int, record: UserRecord) -> None:
        """One user, from the request to the finished job."""
        job = await self._editing.EditRegion(self._requests[number], timeout=60)
        patience = self._patience[number]
        canceller = None if patience is None else asyncio.ensure_future(self._cancel(job.name, patience))
        try:
            call = self._jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name), timeout=600)
            async for state in call:
                record.events.append(time.monotonic())
                if state.state in _FINISHED:
                    record.status = _status(state)
        finally:
            if canceller is not None:
                canceller.cancel()

    async def _cancel(self, name: str, after: float) -> None:
        await asyncio.sleep(after)
        await self._jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name), timeout=60)


_FINISHED = (jobs_pb2.Job.STATE_SUCCEEDED, jobs_pb2.Job.STATE_FAILED, jobs_pb2.Job.STATE_CANCELLED)


def _status(job: jobs_pb2.Job) -> str:
    if job.state == jobs_pb2.Job.STATE_SUCCEEDED:
        return OK
    return CANCELLED if job.state == jobs_pb2.Job.STATE_CANCELLED else job.failure.status or "UNKNOWN"


def figures(records: Sequence[UserRecord], offered: float) -> dict:
    """The result line of one rate, `offered` users per second.

    Times count from the users' arrival; those of failures are left out.
    """
    good = [record for record in records if record.status == OK]
    others = Counter(record.status for record in records if record.status not in (OK, CANCELLED))
    begun = min(record.due for record in records)
    lasted = max(record.ended for record in records) - begun
    return {
        "offered_per_s": round(offered, 3),
        "came": len(records),
        "ok": len(good),
        "cancelled": sum(record.status == CANCELLED for record in records),
        "failed": sum(others.values()),
        "failed_with": ", ".join(f"{name} {count}" for name, count in sorted(others.items())) or None,
        "ok_per_s": round(len(good) / lasted, 3),
        **milliseconds([s.events[0] - s.due for s in good if s.events], 0.5, 0.99, name="first_event"),
        **milliseconds([s.ended - s.due for s in good], 0.5, 0.9, 0.99, name="done"),
        **milliseconds([s.sent - s.due for s in records], 0.99, name="generator_late"),
    }


def as_profile(runs: Sequence[tuple[float, Sequence[UserRecord]]]) -> dict:
    """The times of each request in nanoseconds, in perf_analyzer's export format, each with a status."""
    experiments = [
        {
            "experiment": {"mode": "request_rate", "value": rate},
            "requests": [
                {
                    "timestamp": round(record.due * 1e9),
                    "sent_timestamp": round(record.sent * 1e9),
                    "response_timestamps": [round(moment * 1e9) for moment in record.events],
                    "end_timestamp": round(record.ended * 1e9),
                    "status": record.status,
                }
                for record in records
            ],
            "window_boundaries": [
                round(min(record.due for record in records) * 1e9),
                round(max(record.ended for record in records) * 1e9),
            ],
        }
        for rate, records in runs
    ]
    return {
        "service_kind": "intarsia",
        "endpoint": "intarsia.v1.Editing/EditRegion",
        "experiments": experiments,
    }


def requests_of(
    picture: str, count: int, sides: tuple[int, ...], steps: int, seed: int
) -> list[editing_pb2.EditRegionRequest]:
    """Edits in different places, with different instructions."""
    requests = []
    for _, edit in zip(range(count), workload.edits(WIDTH, HEIGHT, sides, seed)):  # noqa: B905 - endless
        request = edit_region_request(edit.instruction, seed=edit.seed, steps=steps, detach=True)
        request.job.picture = picture
        request.region.CopyFrom(intarsia.rectangle(*edit.box).proto)
        requests.append(request)
    return requests


def patience_of(count: int, share: float, longest: float, seed: int) -> list[float | None]:
    """For each user, the seconds after which they cancel; None for those who do not."""
    rng = np.random.default_rng((seed, 5))
    return [float(rng.uniform(0, longest)) if rng.random() < share else None for _ in range(count)]


async def drive(
    address: str, options: argparse.Namespace, schedules: Sequence[Schedule], report: BenchmarkReport
) -> list[tuple[float, list[UserRecord]]]:
    """Runs the schedules against one server, one after the other."""
    async with intarsia.AsyncClient(address) as client, grpc.aio.insecure_channel(address) as channel:
        file = workload.png(workload.picture(WIDTH, HEIGHT, options.seed))
        picture = (await client.upload(file)).name
        await run([0.0], EditUsers(channel, requests_of(picture, 1, options.sides, 2, 0), [None]))  # warm-up
        runs = []
        for name, arrivals, lasting in schedules:
            requests = requests_of(picture, len(arrivals), options.sides, options.steps, options.seed)
            patience = patience_of(len(arrivals), options.cancelled, options.patience, options.seed)
            records = await run(arrivals, EditUsers(channel, requests, patience))
            offered = len(arrivals) / lasting
            report.add(arrivals=name, **figures(records, offered))
            runs.append((offered, records))
        return runs


def schedules_of(options: argparse.Namespace) -> list[Schedule]:
    """A trace, or Poisson arrivals at every rate. Raises ValueError or OSError if there are no arrivals."""
    if options.trace is not None:
        times = workload.trace(options.trace)
        return [(options.trace.name, times, max(times[-1], 1e-3))]
    duration, schedules = options.seconds, []
    for number, rate in enumerate(options.rates):
        times = workload.poisson(rate, duration, options.seed + number)
        if not times:
            raise ValueError(f"a rate of {rate:g} has no arrivals in {duration:g} s; use more --seconds")
        schedules.append((f"poisson {rate:g}", times, duration))
    return schedules


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="edits per second")
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of each rate")
    parser.add_argument(
        "--trace", type=Path, help="file of pauses between users, one per line, in microseconds"
    )
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[48, 64, 96], help="sides of regions, in pixels"
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--cancelled", type=float, default=0.1, help="share of users who cancel")
    parser.add_argument("--patience", type=float, default=2.0, help="most seconds until they cancel")
    parser.add_argument("--server", help="address of a running server; by default one is started")
    options = parse(parser, argv)
    options.sides = tuple(options.sides)
    try:
        schedules = schedules_of(options)
    except (ValueError, OSError) as fault:
        parser.error(str(fault))
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.open_loop", threads=options.threads, weights=weights)
    report = BenchmarkReport("open_loop", "What do independent users experience?", origin)
    if options.server:
        runs = asyncio.run(drive(options.server, options, schedules, report))
    else:
        with stack(options, "open_loop") as running:
            runs = asyncio.run(drive(running.address, options, schedules, report))
    print(report.write(options.out))
    profile = options.out / "open_loop_requests.json"
    profile.write_text(json.dumps(as_profile(runs)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
