"""What does a step cost through Triton, beyond what the step loop takes by itself?

    python -m benchmarks.step_overhead --rounds 9

The same request runs in a bare step loop, in a process of its own, and through a real Triton, read by a plain
client and by the orchestrator's. They take turns. A figure is the time from the first reply to the last, by
steps; the overhead is Triton's figure less the loop's in the same round. The network is tiny, so that a pass
takes little longer than what is measured here.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, closing, contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, median, percentile, verdicts
from benchmarks.step_sharing import RowsMeter
from benchmarks.triton_client import MODEL, DenoiseStream, edit_tensors
from deploy.local.ports import choose_ports
from deploy.local.triton import Triton, TritonSettings
from orchestrator.deadline import Deadline
from orchestrator.triton.connection import Connection
from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.stall import StallLimits
from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle
from services.denoising.costs import measure
from services.denoising.engine import Engine, EngineLimits
from services.ip2p_unet.family import InstructPix2Pix
from services.refusal import Refusal
from training import tiny

BAR = 1.5  # ms a step

Tensors = Mapping[str, np.ndarray]
StepTime = tuple[int, float]  # steps done, and when that was told
Way = Callable[[Tensors], float]  # runs a request; returns the seconds of a step


class StepTimes:
    """A subscriber that notes when it was told of each step."""

    def __init__(self) -> None:
        self.times: list[StepTime] = []

    def gone(self) -> bool:
        """Waits for the end."""
        return False

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        self.times.append((done, time.perf_counter()))

    def finish(self, latents: Tensor, steps: int) -> None:
        self.times.append((steps, time.perf_counter()))

    def refuse(self, refusal: Refusal) -> None:
        raise RuntimeError(f"a benchmark's request was refused: {refusal}")


def smallest_bundle(folder: Path) -> Path:
    """Writes random bundles whose UNet has a single block on either side. Returns the folder."""
    tiny.write(folder)
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        mid_block_type=None,
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=tiny.networks.TEXT_WIDTH,
        norm_num_groups=4,
    )
    network.save_pretrained(folder / "ip2p" / "unet")
    return folder


def step_seconds(times: Sequence[StepTime]) -> float:
    """Seconds of a step, from the first reply to the last; a step may have been left out between them."""
    (first, began), (last, ended) = times[0], times[-1]
    return (ended - began) / (last - first)


def run_loops(pipe: Pipe, weights: Path) -> None:
    """Answers every request that comes through the pipe with the seconds of a step, until None comes."""
    family = InstructPix2Pix(Bundle.open(weights / "ip2p"), torch.device("cpu"), torch.float32)
    costs = measure(family, family.works()[:1], budget_bytes=1 << 30, seconds=0.2)
    limits, adapters = EngineLimits(memory=1 << 30), AdapterCache(family.network, budget_bytes=0)
    while (tensors := pipe.recv()) is not None:
        engine = Engine(family, costs, limits, RowsMeter(), adapters, family.passes)
        subscriber = StepTimes()
        engine.admit(
            family.request({name: torch.tensor(value) for name, value in tensors.items()}), subscriber
        )
        while engine.step():
            pass
        pipe.send(step_seconds(subscriber.times))


@contextmanager
def bare_loop(weights: Path, threads: int) -> Iterator[Way]:
    """The step loop in a process of its own, with the environment that Triton's models have."""
    os.environ.update(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_loops, args=(theirs, weights))
    process.start()
    theirs.close()  # else the end of the process would not be noticed

    def run(tensors: Tensors) -> float:
        ours.send({**tensors, "seed": tensors["seed"].astype(np.int64)})  # torch has no full unsigned type
        return ours.recv()

    try:
        yield run
    finally:
        ours.send(None)
        process.join()


@contextmanager
def triton_alone(work: Path, weights: Path, threads: int) -> Iterator[str]:
    """The address of a Triton that serves the one denoiser."""
    grpc_port, metrics_port = choose_ports([0, 0])
    server = Triton(
        TritonSettings(
            work=work,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            models=[MODEL],
            weights=weights,
            threads=threads,
        )
    )
    server.start()
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.stop()


def by_plain_client(url: str) -> Way:
    """Steps as a plain Triton client sees them."""

    def run(tensors: Tensors) -> float:
        with closing(DenoiseStream(url, dict(tensors))) as stream:
            return step_seconds([(done, time.perf_counter()) for done, _ in stream.progress()])

    return run


@contextmanager
def by_orchestrator(url: str) -> Iterator[Way]:
    """Steps as the orchestrator sees them, in the event loop of this process."""

    async def replies(endpoint: Endpoint, tensors: Tensors) -> list[StepTime]:
        async with aclosing(endpoint.stream(tensors, deadline=Deadline.after(600))) as beats:
            return [(int(beat["progress"][0]), time.perf_counter()) async for beat in beats]

    async def opened() -> Connection:  # a channel belongs to the loop that is running when it is opened
        return Connection(url)

    with closing(asyncio.new_event_loop()) as events:
        connection = events.run_until_complete(opened())
        endpoint = Endpoint(MODEL, connection, StallLimits(), decoupled=True)
        try:
            yield lambda tensors: step_seconds(events.run_until_complete(replies(endpoint, tensors)))
        finally:
            events.run_until_complete(connection.close())


def take_turns(
    ways: Mapping[str, Way], width: int, *, side: int, steps: int, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Milliseconds of a step, by way and round. The order changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for number in range(-1, rounds):
        tensors = edit_tensors(width, side=side, steps=steps, seed=seed + number)
        for name in order:
            seconds = ways[name](tensors)
            if number >= 0:  # the first round only warms up
                found[name].append(seconds * 1e3)
        order.append(order.pop(0))
    return found


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--side", type=int, default=8, help="of the latents")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parse(parser, argv, starter=False)
    weights = options.weights or smallest_bundle(options.data / "smallest")
    bundle = Bundle.open(weights / "ip2p")
    origin = Origin.here(
        argv, module="benchmarks.step_overhead", threads=options.threads, weights=bundle.digest
    )
    asks = f"What does a step cost through Triton, beyond the loop itself? Bar: {BAR:g} ms"
    report = BenchmarkReport("step_overhead", asks, origin)
    with ExitStack() as opened:
        loop = opened.enter_context(bare_loop(weights, options.threads))
        url = opened.enter_context(triton_alone(options.data / "step_overhead", weights, options.threads))
        ways = {
            "bare loop": loop,
            "plain client": by_plain_client(url),
            "orchestrator": opened.enter_context(by_orchestrator(url)),
        }
        width = bundle.config("unet")["cross_attention_dim"]
        found = take_turns(
            ways, width, side=options.side, steps=options.steps, rounds=options.rounds, seed=options.seed
        )
        for name in ("plain client", "orchestrator"):
            beyond = [a - b for a, b in zip(found[name], found["bare loop"], strict=True)]
            report.add(
                read_by=name,
                side=options.side,
                steps=options.steps,
                rounds=options.rounds,
                loop_p50_ms=round(median(found["bare loop"]), 3),
                triton_p50_ms=round(median(found[name]), 3),
                overhead_p50_ms=round(median(beyond), 3),
                overhead_p10_ms=round(percentile(beyond, 0.1), 3),
                overhead_p90_ms=round(percentile(beyond, 0.9), 3),
                bar_ms=BAR,
                met=median(beyond) <= BAR,
            )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
