"""What do single models bear? perf_analyzer against `sam`, `vae` and `ip2p_unet`, at several concurrencies.

    make bench-perf
    python -m benchmarks.perf --concurrency 1 2 4 8

`sam` is asked for masks at clicks in pictures it has seen; `vae` decodes latents; `ip2p_unet` walks a few
steps and streams a beat for each. Requests are taken in turn from so many that none is answered from memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import perf_analyzer, workload
from benchmarks.options import DATA, parsed, parser
from benchmarks.perf_analyzer import NoAnalyzer
from benchmarks.report import Origin, Report
from benchmarks.running import stack
from benchmarks.stranger import edit_tensors, text, text_width
from services.bundles.bundle import Bundle

LIBC = Path("var/libc")
LATENT_SIDE = 16


def sam_requests(seed: int, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Clicks in few pictures, each embedded once."""
    dice = np.random.default_rng((seed, 6))
    pictures = [workload.picture(128, 128, seed + number) for number in range(4)]
    for number in range(count):
        x, y = dice.uniform(1, 127, 2)
        yield {"picture": pictures[number % 4], "points": np.array([[x, y, 1]], np.float32)}


def vae_requests(seed: int, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Latents to decode, each another."""
    dice = np.random.default_rng((seed, 7))
    for _ in range(count):
        latents = dice.normal(size=(4, LATENT_SIDE, LATENT_SIDE)).astype(np.float32)
        yield {"family": text("ip2p"), "latents": latents}


def unet_requests(seed: int, count: int, width: int, steps: int) -> Iterator[dict[str, np.ndarray]]:
    """Edits of latents, each another."""
    for number in range(count):
        yield edit_tensors(width, side=LATENT_SIDE, steps=steps, seed=seed + number)


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8])
    made.add_argument("--steps", type=int, default=4, help="of each edit")
    made.add_argument("--window", type=float, default=2.0, help="seconds; three are measured")
    options = parsed(made, argv)
    try:
        start = perf_analyzer.command(LIBC)
    except NoAnalyzer as fault:
        print(fault, file=sys.stderr)
        return 1
    folder = DATA / "perf"
    folder.mkdir(parents=True, exist_ok=True)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.perf", threads=options.threads, weights=weights)
    report = Report("perf", "What do single models bear? Measured by perf_analyzer", origin)
    with stack(options, "perf") as running:
        width = text_width(running.triton.url)
        loads = {
            "sam": sam_requests(options.seed, 64),
            "vae": vae_requests(options.seed, 1024),
            "ip2p_unet": unet_requests(options.seed, 64, width, options.steps),
        }
        for model, requests in loads.items():
            data = folder / f"{model}.json"
            perf_analyzer.write_input(data, requests)
            for concurrency in options.concurrency:
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
                    )
                except NoAnalyzer as fault:
                    print(fault, file=sys.stderr)
                    return 1
                report.add(
                    model=model,
                    concurrency=found.concurrency,
                    steps=options.steps if model == "ip2p_unet" else None,
                    per_second=found.per_second,
                    **{f"{name}_ms": round(value * 1e3, 2) for name, value in found.latency.items()},
                )
    print(report.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
