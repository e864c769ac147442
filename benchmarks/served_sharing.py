"""Does sharing steps still pay in the whole service? Clients in a closed loop against two platforms.

    python -m benchmarks.served_sharing --clients 8 --sides 64 128

One platform runs with its defaults, the other with INTARSIA_ENGINE_RUNNING=1: its engine runs one request at
a time. They take turns; while one is measured, the other is idle. A round's ratio is the pictures per second
of the first over those of the second, from the call to the finished job. Only steps are shared: the time for
encoding, decoding and blending dilutes the engine's own ratio (`step_sharing`), the more the fewer steps a
picture has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, verdicts
from benchmarks.stack import stack
from benchmarks.step_sharing import COSTS_NOTHING, MANY, PAYS, SMALL, compare
from services.bundles.bundle import Bundle

WIDTH, HEIGHT = 720, 560
FACTOR = 8  # pixels per latent cell


def pictures_per_second(
    client: intarsia.Client,
    picture: str,
    edits: Iterator[workload.RegionEdit],
    clients: int,
    each: int,
    steps: int,
) -> float:
    """The rate of a closed loop in which every client makes the same number of pictures."""
    wanted = [[next(edits) for _ in range(each)] for _ in range(clients)]

    def one(tasks: list[workload.RegionEdit]) -> None:
        for edit in tasks:
            client.edit_region(
                picture,
                intarsia.rectangle(*edit.box),
                edit.instruction,
                seed=edit.seed,
                steps=steps,
                guidance=7.5,
                picture_guidance=1.5,
                context=0,
                working_size=edit.side,
            ).result(timeout=300)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, wanted))
    return clients * each / (time.perf_counter() - started)


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[MANY])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128], help="of the region, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", type=int, default=1, help="pictures of each client in a round")
    parser.add_argument("--steps", type=int, default=20)
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.served_sharing", threads=options.threads, weights=weights)
    asks = "Does sharing steps still pay in the whole service? Pictures per second, shared over one at a time"
    report = BenchmarkReport("served_sharing", asks, origin)
    file = workload.png(workload.picture(WIDTH, HEIGHT, options.seed))
    with stack(options, "free") as free, stack(options, "alone", INTARSIA_ENGINE_RUNNING="1") as alone:
        with intarsia.Client(free.address) as first, intarsia.Client(alone.address) as second:
            targets = [(client, client.upload(file).name) for client in (first, second)]
            for side in options.sides:
                for clients in options.clients:
                    rates: tuple[list[float], list[float]] = ([], [])
                    for number in range(-1, options.rounds):
                        for which in (0, 1) if number % 2 else (1, 0):
                            edits = workload.edits(WIDTH, HEIGHT, (side,), 1000 * options.seed + number + 1)
                            client, name = targets[which]
                            rate = pictures_per_second(
                                client, name, edits, clients, options.each, options.steps
                            )
                            if number >= 0:  # the first round only warms up
                                rates[which].append(rate)
                    small = clients >= MANY and side <= SMALL * FACTOR
                    bar = PAYS if small else COSTS_NOTHING
                    report.add(side=side, clients=clients, steps=options.steps, **compare(*rates, bar))
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
