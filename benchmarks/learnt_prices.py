"""Does it pay to learn the prices of passes while serving? A closed loop against two engines.

    python -m benchmarks.learnt_prices --sides 8 16 32

Both begin with the same prices. One keeps them, the other learns. They share the network and the thread they
step in, and take turns. The prices are those that the start measures now, or those that a start on a busy
machine once measured, by which three rows are best. A round's ratio is the pictures per second of the engine
that learns over those of the other. The first rounds, in which it learns most, are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch

from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, percentile, verdicts
from benchmarks.step_sharing import COSTS_NOTHING, PAYS, RowsMeter, compare, rates_of, requests_of
from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle
from services.denoising.costs import Costs, Kind, Measured, measure
from services.denoising.engine import Engine, EngineLimits
from services.denoising.memory_budget import memory_for_work
from services.ip2p_unet.family import InstructPix2Pix

BUSY = {1: 0.025, 2: 0.149, 3: 0.070}  # seconds by rows at 16 x 16, as a busy machine measured them
NAMES = "learnt", "kept"
BARS = {"quiet": COSTS_NOTHING, "busy": PAYS}


def tables(costs: Costs, work: int, *, learning: bool) -> dict[str, Costs]:
    """Prices to begin with, by what the machine was like when they were taken."""

    def told(seconds: Mapping[int, float]) -> Costs:
        return Costs((Measured(work, seconds, costs.bytes_for(1, work)),), learning=learning)

    measured = {rows: costs.seconds_for(rows, work) for rows in costs.known()[Kind(work)]}
    return {"quiet": told(measured), "busy": told({rows: s * work / 256 for rows, s in BUSY.items()})}


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 32], help="sides of the latents")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--left-out", type=int, default=3, help="rounds before those that count")
    parser.add_argument("--steps", type=int, default=4, help="steps of each picture")
    options = parse(parser, argv)
    torch.set_num_threads(options.threads)
    bundle = Bundle.open(options.weights / "ip2p")
    family = InstructPix2Pix(bundle, torch.device("cpu"), torch.float32)
    memory = memory_for_work(family.device)
    costs = measure(family, [side * side for side in options.sides], budget_bytes=memory)
    origin = Origin.here(
        argv, module="benchmarks.learnt_prices", threads=options.threads, weights=bundle.digest
    )
    asks = "Does it pay to learn prices while serving? Pictures per second, learnt over those of the start"
    report = BenchmarkReport("learnt_prices", asks, origin)
    limits, adapters = EngineLimits(memory=memory), AdapterCache(family.network, budget_bytes=0)
    for side in options.sides:
        work = requests_of(family, side, options.clients, options.steps, options.seed)
        learnt, kept = (tables(costs, side * side, learning=learning) for learning in (True, False))
        for start, bar in BARS.items():
            meters = RowsMeter(), RowsMeter()
            engines = [
                Engine(family, table[start], limits, meter, adapters, family.passes)
                for table, meter in zip((learnt, kept), meters, strict=True)
            ]
            rates = rates_of(engines, work, options.clients, rounds=options.rounds, left_out=options.left_out)
            rows = {
                f"{name}_rows_p50": percentile(meter.rows, 0.5)
                for name, meter in zip(NAMES, meters, strict=True)
            }
            figures = compare(*rates, bar, NAMES)
            report.add(side=side, start=start, clients=options.clients, **rows, **figures)
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
