"""How soon is the slot of a cancelled edit free?

    python -m benchmarks.cancel_latency --trials 10

Four ways to cancel: the client's cancel, a killed command line, a stream cancelled by a plain Triton client,
and a plain Triton client that is killed. A trial's time runs from that moment until the engine's own metric
`intarsia_engine_running` is 0. The current step has to end first, so the bar is one step, as long as steps
took in that trial, plus 50 ms.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, milliseconds, verdicts
from benchmarks.stack import MetricsPage, stack
from benchmarks.triton_client import DenoiseStream, edit_tensors, text_width
from deploy.local.stack import Stack
from services.bundles.bundle import Bundle

ALLOWANCE = 0.050
ENDLESS = 1000  # steps: as many as a request may have, far more than a trial lasts
RUNNING, STEP = "intarsia_engine_running", "intarsia_engine_step_seconds"

Cancel = Callable[[], object]


@contextmanager
def by_cancel(stack: Stack, side: int, seed: int) -> Iterator[Cancel]:
    """The client cancels its job."""
    with intarsia.Client(stack.address) as client:
        picture = workload.png(workload.picture(side * 8, side * 8, seed))
        where = intarsia.rectangle(0, 0, side * 8, side * 8)
        yield client.edit_region(picture, where, "make it blue", seed=seed, steps=ENDLESS, context=0).cancel


@contextmanager
def by_killed_command(stack: Stack, side: int, seed: int) -> Iterator[Cancel]:
    """The command line is killed with SIGKILL."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "in.png")
        picture.write_bytes(workload.png(workload.picture(side * 8, side * 8, seed)))
        edit = [sys.executable, "-m", "intarsia", "edit-region", str(picture), "-i", "make it blue"]
        how = ["--rectangle", f"0,0,{side * 8},{side * 8}", "--context", "0", "--steps", str(ENDLESS)]
        where = ["--server", stack.address, "-o", str(Path(folder, "out.png"))]
        with _killable([*edit, *how, *where]) as kill:
            yield kill


@contextmanager
def by_stream(stack: Stack, side: int, seed: int) -> Iterator[Cancel]:
    """A plain Triton client cancels its stream."""
    width = text_width(stack.triton.url)
    yield DenoiseStream(stack.triton.url, edit_tensors(width, side=side, steps=ENDLESS, seed=seed)).cancel


@contextmanager
def by_killed_triton_client(stack: Stack, side: int, seed: int) -> Iterator[Cancel]:
    """A plain Triton client is killed."""
    settings = ["--side", str(side), "--steps", str(ENDLESS), "--seed", str(seed)]
    with _killable([sys.executable, "-m", "benchmarks.triton_client", stack.triton.url, *settings]) as kill:
        yield kill


WAYS = {
    "client cancels": by_cancel,
    "command line killed": by_killed_command,
    "stream cancelled": by_stream,
    "Triton client killed": by_killed_triton_client,
}


@contextmanager
def _killable(command: list[str]) -> Iterator[Cancel]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield lambda: process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


def trial(way: Callable, stack: Stack, figures: MetricsPage, side: int, seed: int) -> tuple[float, float]:
    """Seconds until the slot was free, and seconds per step in this trial."""
    figures.wait(RUNNING, 0)
    steps, seconds = figures(f"{STEP}_count"), figures(f"{STEP}_sum")
    with way(stack, side, seed) as cancel:
        figures.wait(RUNNING, 1)
        time.sleep(0.5 + 0.013 * (seed % 10))  # some steps, then a different point within a step
        cancelled = time.perf_counter()
        cancel()
        freed = figures.wait(RUNNING, 0)
    taken = figures(f"{STEP}_count") - steps
    return freed - cancelled, (figures(f"{STEP}_sum") - seconds) / max(taken, 1)


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--side", type=int, default=16, help="side of the latents")
    parser.add_argument("--trials", type=int, default=8)
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.cancel_latency", threads=options.threads, weights=weights)
    asks = "How soon is the slot of a cancelled edit free? Bar: one step plus 50 ms"
    report = BenchmarkReport("cancel_latency", asks, origin)
    with stack(options, "cancel_latency") as running:
        with closing(MetricsPage(running.triton.metrics_url)) as figures:
            for name, way in WAYS.items():
                trial(way, running, figures, options.side, 0)  # warm-up
                seen = [
                    trial(way, running, figures, options.side, options.seed + number)
                    for number in range(options.trials)
                ]
                beyond = [latency - step for latency, step in seen]
                report.add(
                    way=name,
                    trials=options.trials,
                    side=options.side,
                    **milliseconds([step for _, step in seen], 0.5, name="step"),
                    **milliseconds([latency for latency, _ in seen], 0.5, 0.9, 1.0, name="freed"),
                    **milliseconds(beyond, 0.5, 0.9, 1.0, name="beyond_a_step"),
                    within_bar=sum(over <= ALLOWANCE for over in beyond),
                    met=max(beyond) <= ALLOWANCE,
                )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
