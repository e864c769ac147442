"""What do users see who do not wait for each other? Edits at given rates through the orchestrator's rpcs.

    python -m benchmarks.open_loop --rates 0.5 1 2 --seconds 15
    python -m benchmarks.open_loop --trace arrivals.txt

A closed loop slows down together with its server and so hides what waiting users would have seen. Here
everybody comes when the schedule says, and their time counts from that moment, even if the generator
itself was late. A gRPC error, a failed job and a refused request are failures, each under its status.
Some users change their mind: a share of the edits is cancelled after a while. What each request saw is
kept as `open_loop_requests.json`, shaped like perf_analyzer's profile export.
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
from benchmarks.options import parsed, parser
from benchmarks.report import Origin, Report, milliseconds
from benchmarks.running import stack
from intarsia.editing import edit_region_request
from intarsia.jobs import FINISHED
from intarsia.v1 import editing_pb2, editing_pb2_grpc, jobs_pb2, jobs_pb2_grpc
from services.bundles.bundle import Bundle

WIDTH, HEIGHT = 480, 320
CANCELLED, OK = "CANCELLED", "OK"


@dataclass
class Seen:
    """What one user saw. Times are seconds on one clock; `due` is when they came."""

    due: float
    sent: float = 0.0
    events: list[float] = field(default_factory=list)
    ended: float = 0.0
    status: str = "UNKNOWN"  # OK, CANCELLED, or a gRPC status


Ask = Callable[[int, Seen], Awaitable[None]]
Schedule = tuple[str, list[float], float]  # its name, when users come, for how many seconds


async def run(arrivals: Sequence[float], ask: Ask, clock: Callable[[], float] = time.monotonic) -> list[Seen]:
    """Lets everybody come in time, whatever became of those before, and answers what each saw."""
    began = clock()
    everyone = [Seen(began + offset) for offset in arrivals]

    async def one(number: int, seen: Seen) -> None:
        seen.sent = clock()
        try:
            await ask(number, seen)
        except grpc.RpcError as error:
            seen.status = error.code().name
        seen.ended = clock()

    async with _Together() as together:
        for number, seen in enumerate(everyone):
            await asyncio.sleep(max(seen.due - clock(), 0))
            together.start(one(number, seen))
    return everyone


class _Together:
    """Tasks that are all awaited at the end; a fault in one is raised then."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def __aenter__(self) -> _Together:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._tasks)


class Users:
    """Edits through EditRegion and WatchJob, with bare stubs: no error is repeated or hidden."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        requests: Sequence[editing_pb2.EditRegionRequest],
        patience: Sequence[float | None],
    ) -> None:
        """`patience`: seconds after which a user cancels, None for one who waits."""
        self._editing = editing_pb2_grpc.EditingStub(channel)
        self._jobs = jobs_pb2_grpc.JobsStub(channel)
        self._requests, self._patience = requests, patience

    async def __call__(self, number: int, seen: Seen) -> None:
        """One user, from the request to the finished job."""
        job = await self._editing.EditRegion(self._requests[number], timeout=60)
        patience = self._patience[number]
        bored = None if patience is None else asyncio.ensure_future(self._cancel(job.name, patience))
        try:
            call = self._jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name), timeout=600)
            async for state in call:
                seen.events.append(time.monotonic())
                if state.state in FINISHED:
                    seen.status = _status(state)
        finally:
            if bored is not None:
                bored.cancel()

    async def _cancel(self, name: str, after: float) -> None:
        await asyncio.sleep(after)
        await self._jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name), timeout=60)


def _status(job: jobs_pb2.Job) -> str:
    if job.state == jobs_pb2.Job.STATE_SUCCEEDED:
        return OK
    return CANCELLED if job.state == jobs_pb2.Job.STATE_CANCELLED else job.failure.status or "UNKNOWN"


def figures(everyone: Sequence[Seen], offered: float) -> dict:
    """The line of one rate, `offered` users a second.

    Times count from when users came; those of failures are left out.
    """
    good = [seen for seen in everyone if seen.status == OK]
    others = Counter(seen.status for seen in everyone if seen.status not in (OK, CANCELLED))
    begun = min(seen.due for seen in everyone)
    lasted = max(seen.ended for seen in everyone) - begun
    return {
        "offered_per_s": round(offered, 3),
        "came": len(everyone),
        "ok": len(good),
        "cancelled": sum(seen.status == CANCELLED for seen in everyone),
        "failed": sum(others.values()),
        "failed_with": ", ".join(f"{name} {count}" for name, count in sorted(others.items())) or None,
        "ok_per_s": round(len(good) / lasted, 3),
        **milliseconds([s.events[0] - s.due for s in good if s.events], 0.5, 0.99, name="first_event"),
        **milliseconds([s.ended - s.due for s in good], 0.5, 0.9, 0.99, name="done"),
        **milliseconds([s.sent - s.due for s in everyone], 0.99, name="generator_late"),
    }


def as_profile(runs: Sequence[tuple[float, Sequence[Seen]]]) -> dict:
    """What each request saw, in nanoseconds, as perf_analyzer exports it, with a status to each."""
    experiments = [
        {
            "experiment": {"mode": "request_rate", "value": rate},
            "requests": [
                {
                    "timestamp": round(seen.due * 1e9),
                    "sent_timestamp": round(seen.sent * 1e9),
                    "response_timestamps": [round(moment * 1e9) for moment in seen.events],
                    "end_timestamp": round(seen.ended * 1e9),
                    "status": seen.status,
                }
                for seen in everyone
            ],
            "window_boundaries": [
                round(min(seen.due for seen in everyone) * 1e9),
                round(max(seen.ended for seen in everyone) * 1e9),
            ],
        }
        for rate, everyone in runs
    ]
    return {
        "service_kind": "intarsia",
        "endpoint": "intarsia.v1.Editing/EditRegion",
        "experiments": experiments,
    }


def requests_of(
    picture: str, count: int, sides: tuple[int, ...], steps: int, seed: int
) -> list[editing_pb2.EditRegionRequest]:
    """Edits of different places by different words."""
    made = []
    for _, edit in zip(range(count), workload.edits(WIDTH, HEIGHT, sides, seed)):  # noqa: B905 - endless
        request = edit_region_request(edit.instruction, seed=edit.seed, steps=steps)
        request.picture = picture
        place = intarsia.rectangle(edit.left, edit.top, edit.left + edit.side, edit.top + edit.side)
        request.region.CopyFrom(place.proto)
        made.append(request)
    return made


def patience_of(count: int, share: float, longest: float, seed: int) -> list[float | None]:
    """Who changes their mind, and after how many seconds."""
    dice = np.random.default_rng((seed, 5))
    return [float(dice.uniform(0, longest)) if dice.random() < share else None for _ in range(count)]


async def drive(
    address: str, options: argparse.Namespace, schedules: Sequence[Schedule], report: Report
) -> list[tuple[float, list[Seen]]]:
    """Every schedule, one after the other, against one server."""
    async with intarsia.AsyncClient(address) as client, grpc.aio.insecure_channel(address) as channel:
        file = workload.png(workload.picture(WIDTH, HEIGHT, options.seed))
        picture = (await client.upload(file)).name
        await run([0.0], Users(channel, requests_of(picture, 1, options.sides, 2, 0), [None]))  # warm-up
        runs = []
        for name, arrivals, lasting in schedules:
            requests = requests_of(picture, len(arrivals), options.sides, options.steps, options.seed)
            bored = patience_of(len(arrivals), options.cancelled, options.patience, options.seed)
            everyone = await run(arrivals, Users(channel, requests, bored))
            offered = len(arrivals) / lasting
            report.add(arrivals=name, **figures(everyone, offered))
            runs.append((offered, everyone))
        return runs


def schedules_of(options: argparse.Namespace) -> list[Schedule]:
    """A trace, or Poisson arrivals at every rate; ValueError or OSError if nobody would come."""
    if options.trace is not None:
        times = workload.trace(options.trace)
        return [(options.trace.name, times, max(times[-1], 1e-3))]
    lasting, made = options.seconds, []
    for number, rate in enumerate(options.rates):
        times = workload.poisson(rate, lasting, options.seed + number)
        if not times:
            raise ValueError(f"at a rate of {rate:g} nobody comes in {lasting:g} s; take more --seconds")
        made.append((f"poisson {rate:g}", times, lasting))
    return made


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--rates", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="edits a second")
    made.add_argument("--seconds", type=float, default=15.0, help="for which users come at each rate")
    made.add_argument("--trace", type=Path, help="pauses between users, a line each, in microseconds")
    made.add_argument("--sides", type=int, nargs="+", default=[48, 64, 96], help="of regions, in pixels")
    made.add_argument("--steps", type=int, default=8)
    made.add_argument("--cancelled", type=float, default=0.1, help="share of users who change their mind")
    made.add_argument("--patience", type=float, default=2.0, help="seconds in which they do")
    made.add_argument("--server", help="a server that runs already; by default one is started")
    options = parsed(made, argv)
    options.sides = tuple(options.sides)
    try:
        schedules = schedules_of(options)
    except (ValueError, OSError) as fault:
        made.error(str(fault))
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.open_loop", threads=options.threads, weights=weights)
    report = Report("open_loop", "What do users see who do not wait for each other?", origin)
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
