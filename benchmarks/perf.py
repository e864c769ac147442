"""What throughput do single models have? perf_analyzer against `sam`, `vae` and `ip2p_unet`.

    make bench-perf
    python -m benchmarks.perf --concurrency 1 2 4 8

`sam` returns masks for clicks in pictures it has embedded before; `vae` decodes latents; `ip2p_unet` runs a
few steps and streams a progress message for each. Requests differ, so that no cache answers them.
`over_first` compares throughput with that at the first concurrency. `steps_a_pass` says how many requests a
pass of the step loop stepped, which follows from its prices: at 1 nothing was shared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import perf_analyzer, workload
from benchmarks.options import make_parser, parse
from benchmarks.perf_analyzer import PerfAnalyzerError
from benchmarks.report import BenchmarkReport, Origin
from benchmarks.stack import MetricsPage, SharedSteps, stack
from benchmarks.triton_client import edit_tensors, text, text_width
from services.bundles.bundle import Bundle

LIBC = Path("var/libc")
LATENT_SIDE = 16


def sam_requests(seed: int, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Clicks in a few pictures, each of which is embedded once."""
    rng = np.random.default_rng((seed, 6))
    pictures = [workload.picture(128, 128, seed + number) for number in range(4)]
    for number in range(count):
        x, y = rng.uniform(1, 127, 2)
        yield {"picture": pictures[number % 4], "points": np.array([[x, y, 1]], np.float32)}


def vae_requests(seed: int, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Different latents to decode."""
    rng = np.random.default_rng((seed, 7))
    for _ in range(count):
        latents = rng.normal(size=(4, LATENT_SIDE, LATENT_SIDE)).astype(np.float32)
        yield {"family": text("ip2p"), "latents": latents}


def unet_requests(seed: int, count: int, width: int, steps: int) -> Iterator[dict[str, np.ndarray]]:
    """Different edits of latents."""
    for number in range(count):
        yield edit_tensors(width, side=LATENT_SIDE, steps=steps, seed=seed + number)


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=4, help="steps of each edit")
    parser.add_argument("--window", type=float, default=2.0, help="seconds; three are measured")
    options = parse(parser, argv)
    try:
        start = perf_analyzer.command(LIBC)
    except PerfAnalyzerError as fault:
        print(fault, file=sys.stderr)
        return 1
    folder = options.data / "perf"
    folder.mkdir(parents=True, exist_ok=True)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.perf", threads=options.threads, weights=weights)
    report = BenchmarkReport(
        "perf", "What throughput do single models have? Measured by perf_analyzer", origin
    )
    with stack(options, "perf") as running:
        width = text_width(running.triton.url)
        metrics = MetricsPage(running.triton.metrics_url)
        loads = {
            "sam": sam_requests(options.seed, 64),
            "vae": vae_requests(options.seed, 1024),
            "ip2p_unet": unet_requests(options.seed, 64, width, options.steps),
        }
        for model, requests in loads.items():
            data = folder / f"{model}.json"
            perf_analyzer.write_input(data, requests)
            first = None
            for concurrency in options.concurrency:
                shared = SharedSteps(metrics, model)
                try:
                    found = perf_analyzer.measure(
                        start,
                        running.triton.url,
                        model,
                        data,
                        concurrency=concurrency,
                        streaming=model == "ip2p_unet",
                        window=options.window,
                        log=folder / f"{model}-{concurrency}.log",
                        key=running.triton.key,
                    )
                except PerfAnalyzerError as fault:
                    print(fault, file=sys.stderr)
                    return 1
                first = first or found.per_second
                report.add(
                    model=model,
                    concurrency=found.concurrency,
                    steps=options.steps if model == "ip2p_unet" else None,
                    per_second=found.per_second,
                    over_first=found.per_second / first,
                    steps_a_pass=shared.a_pass(),
                    **{f"{name}_ms": round(value * 1e3, 2) for name, value in found.latency.items()},
                )
    print(report.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
