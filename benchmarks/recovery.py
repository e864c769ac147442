"""How soon does the platform work again after one of its processes died, and do the jobs in flight finish?

    python -m benchmarks.recovery --clients 2

Clients do one kind of job after the other. When all are in the middle of one, a process is killed, or frozen.
`first_s` is the time from then to the first job that succeeds, `new_s` to the first of those that began after
it. The bar: every job that was in flight succeeds. The last line is about a client that is killed after its
job was accepted and before it watches it: `first_s` is the time until the job is cancelled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import intarsia
from benchmarks import clips, workload
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, Value, verdicts
from benchmarks.stack import stack
from deploy.local.stack import Stack
from deploy.local.stubs import stubs_of
from intarsia.errors import IntarsiaError
from services.bundles.bundle import Bundle

SIDE = 128
WHERE = intarsia.rectangle(32, 32, 96, 96)
STEPS, FRAMES = 40, 60
_MIDDLE = 0.7  # seconds after its start a job is taken to be in the middle
_SLEEPING_CLIENT = """
import sys, time, intarsia
client = intarsia.Client(sys.argv[1])
where = intarsia.rectangle(32, 32, 96, 96)
job = client.edit_region(sys.stdin.buffer.read(), where, "make it blue", steps=1000)
print(job.name, flush=True)
time.sleep(3600)
"""

Start = Callable[[intarsia.Client, int], intarsia.Job]


@dataclass(frozen=True)
class Death:
    """Who dies, doing what, and how."""

    victim: str  # a model, or `tritonserver`, or `orchestrator`
    work: str
    signal: signal.Signals = signal.SIGKILL


DEATHS = (
    Death("ip2p_unet", "edit"),
    Death("ip2p_unet", "edit", signal.SIGSTOP),
    Death("sam", "track"),
    Death("vae", "edit"),
    Death("sd2_inpaint", "fill"),
    Death("text_encoder", "edit"),
    Death("tritonserver", "edit"),
    Death("orchestrator", "edit"),
)


@dataclass(frozen=True)
class Outcome:
    """A job of a client, by `time.monotonic`; `error` is the reason why it failed."""

    began: float
    ended: float
    error: str = ""


@dataclass
class Load:
    """Clients that do one job after the other until they are stopped."""

    address: str
    start: Start
    clients: int
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._current: dict[int, float] = {}  # when the job began that a client waits for
        self._stop = threading.Event()
        self.changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(self.clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def in_the_middle(self) -> bool:
        """True if every client has done a job and is in the middle of another one."""
        now = time.monotonic()
        with self.changed:
            middle = [began for began in self._current.values() if now - began > _MIDDLE]
            return len(middle) == self.clients and len(self.outcomes) >= self.clients

    def in_flight(self, moment: float) -> list[Outcome]:
        """The jobs that have ended and had begun, and not ended, at a moment."""
        return [job for job in self.outcomes if job.began < moment < job.ended]

    def _work(self, number: int) -> None:
        with intarsia.Client(self.address) as client:
            seed = number
            while not self._stop.is_set():
                began, error = time.monotonic(), ""
                with self.changed:
                    self._current[number] = began
                try:
                    self.start(client, seed).result(timeout=600)
                except (IntarsiaError, TimeoutError) as fault:
                    error = f"{type(fault).__name__}: {fault}"
                with self.changed:
                    del self._current[number]
                    self.outcomes.append(Outcome(began, time.monotonic(), error))
                    self.changed.notify_all()
                seed += self.clients


def works(client: intarsia.Client, seed: int) -> Mapping[str, Start]:
    """The kinds of jobs, by name; what they need is stored."""
    still = workload.picture(SIDE, SIDE, seed)
    picture = client.upload(workload.png(still)).name
    moving = np.stack([np.roll(np.asarray(still), number, axis=1) for number in range(FRAMES)])
    clip = client.upload(clips.encode(moving)).name
    return {
        "edit": lambda to, seed: to.edit_region(
            picture, WHERE, "make it blue", seed=seed, steps=STEPS, working_size=64
        ),
        "fill": lambda to, seed: to.fill_region(picture, WHERE, seed=seed, steps=STEPS),
        "track": lambda to, seed: to.track_region(clip, WHERE),
    }


def process_of(stack: Stack, victim: str) -> int:
    """The process that is to die."""
    if victim == "orchestrator":
        return stack.orchestrator.pid
    return stack.triton.pid if victim == "tritonserver" else stubs_of(stack.triton.pid)[victim]


def trial(stack: Stack, death: Death, start: Start, clients: int, limit: float) -> dict[str, Value]:
    """The line of one death."""
    with Load(stack.address, start, clients) as load:
        while not load.in_the_middle:
            time.sleep(0.02)  # the middle of a job is no event
        died = time.monotonic()
        os.kill(process_of(stack, death.victim), death.signal)

        def recovered() -> bool:
            return any(job.began > died and not job.error for job in load.outcomes)

        with load.changed:
            load.changed.wait_for(recovered, limit)
    succeeded = [job for job in load.outcomes if job.ended > died and not job.error]
    in_flight = load.in_flight(died)
    finished = sum(not job.error for job in in_flight)
    return {
        "victim": death.victim,
        "how": death.signal.name,
        "work": death.work,
        "first_s": min((job.ended - died for job in succeeded), default=None),
        "new_s": min((job.ended - died for job in succeeded if job.began > died), default=None),
        "in_flight": len(in_flight),
        "finished": finished,
        "met": finished == len(in_flight) and recovered(),
        "why": "; ".join(sorted({job.error for job in in_flight if job.error})) or None,
    }


def killed_client(address: str, picture: bytes, limit: float) -> dict[str, Value]:
    """The line of a client that is killed between the acceptance of its job and the watch."""
    command = [sys.executable, "-c", _SLEEPING_CLIENT, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(picture)
        process.stdin.close()
        name = process.stdout.readline().decode().strip()
        process.kill()
        died = time.monotonic()
    with intarsia.Client(address) as client:
        while not (job := client.get_job(name)).state.finished and time.monotonic() - died < limit:
            time.sleep(0.1)  # a watch would keep it
    took = time.monotonic() - died
    cancelled = job.state == intarsia.JobState.CANCELLED
    return {
        "victim": "client",
        "how": "SIGKILL",
        "work": "edit",
        "first_s": took if cancelled else None,
        "new_s": None,
        "in_flight": 1,
        "finished": 0,
        "met": cancelled,
        "why": job.error.message if job.error is not None else None,
    }


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds to wait for a recovery")
    parser.add_argument(
        "--victims",
        nargs="+",
        choices=[*dict.fromkeys(death.victim for death in DEATHS), "client"],
        help="only these",
    )
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.recovery", threads=options.threads, weights=weights)
    asks = "After one process has died: when does the platform work again, and do the jobs in flight finish?"
    report = BenchmarkReport("recovery", asks, origin)
    with stack(options, "recovery") as running:
        with intarsia.Client(running.address) as client:
            starts = works(client, options.seed)
            for death in DEATHS:
                if options.victims is None or death.victim in options.victims:
                    line = trial(running, death, starts[death.work], options.clients, options.limit)
                    report.add(**line)
        if options.victims is None or "client" in options.victims:
            picture = workload.png(workload.picture(SIDE, SIDE, options.seed))
            report.add(**killed_client(running.address, picture, options.limit))
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
