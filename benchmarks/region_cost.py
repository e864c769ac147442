"""Does an edit cost what its region costs, or what its picture costs?

    python -m benchmarks.region_cost --sides 64 256 1024 2048

Edits squares of growing size in one picture of 4000 x 3000, and the same squares cut out beforehand as
pictures of their own, in turns. What the large picture adds is the price of reading it, laying the patch
into it and writing it again.
"""

from __future__ import annotations

import sys
import time

import intarsia
from benchmarks import workload
from benchmarks.options import parsed, parser
from benchmarks.report import Origin, Report, median, milliseconds
from benchmarks.running import stack
from services.weights.bundle import Bundle

WIDTH, HEIGHT = 4000, 3000


def timed(
    client: intarsia.Client, picture: str, left: int, top: int, side: int, steps: int, seed: int
) -> tuple[float, dict[str, float]]:
    """Seconds from the call to the finished job, and those of each stage."""
    started = time.perf_counter()
    where = intarsia.rectangle(left, top, left + side, top + side)
    job = client.edit_region(picture, where, f"make it blue {seed}", seed=seed, steps=steps, context=0)
    manifest = job.result(timeout=300).manifest
    took = time.perf_counter() - started
    return took, {s.stage: s.duration.ToTimedelta().total_seconds() for s in manifest.stage_times}


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument(
        "--sides", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048], help="in pixels"
    )
    made.add_argument("--steps", type=int, default=4)
    made.add_argument("--rounds", type=int, default=3)
    options = parsed(made, argv)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.region_cost", threads=options.threads, weights=weights)
    asks = f"What does a region cost in a picture of {WIDTH} x {HEIGHT}, and alone?"
    report = Report("region_cost", asks, origin)
    pixels = workload.picture(WIDTH, HEIGHT, options.seed)
    with stack(options, "region_cost") as running, intarsia.Client(running.address) as client:
        whole = client.upload(workload.png(pixels)).name
        for side in options.sides:
            edits = workload.edits(WIDTH, HEIGHT, (side,), options.seed)
            within, apart, stages = [], [], []
            for number, edit in zip(range(-1, options.rounds), edits):  # noqa: B905 - edits never end
                crop = pixels[edit.top : edit.top + side, edit.left : edit.left + side]
                cut = client.upload(workload.png(crop)).name
                took, spent = timed(client, whole, edit.left, edit.top, side, options.steps, edit.seed)
                alone, _ = timed(client, cut, 0, 0, side, options.steps, edit.seed)
                if number >= 0:  # the first only warms up
                    within.append(took)
                    apart.append(alone)
                    stages.append({**spent, "around": took - sum(spent.values())})
            report.add(
                side=side,
                share_of_picture=side * side / (WIDTH * HEIGHT),
                rounds=options.rounds,
                **milliseconds(within, 0.5, name="within"),
                **milliseconds(apart, 0.5, name="alone"),
                added_p50_ms=round(median([a - b for a, b in zip(within, apart, strict=True)]) * 1e3, 1),
                **{f"{s}_p50_ms": round(median([spent[s] for spent in stages]) * 1e3, 1) for s in stages[0]},
            )
    print(report.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
