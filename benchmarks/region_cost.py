"""Does an edit cost what its region costs, or what its picture costs?

    python -m benchmarks.region_cost --sides 64 256 1024 2048

Edits squares of growing size in one picture of 4000 x 3000, and, in turns, the same squares cut out
beforehand as pictures of their own. The large picture adds the cost of blending the patch into it and of
writing it, and the first time (`new`) that of reading it. A small region may cost 1.3 times as much as its
crop alone. Regions are worked at their own size, from 64 to 128 pixels: the starter weights work at 128 by
default, where what the picture adds is a smaller part.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.plot import Points, lines
from benchmarks.report import BenchmarkReport, Origin, median, milliseconds, verdicts
from benchmarks.stack import stack
from services.bundles.bundle import Bundle

WIDTH, HEIGHT = 4000, 3000
BAR, SMALL = 1.3, 0.01  # for regions of at most a hundredth of the picture


def timed(
    client: intarsia.Client, picture: str, left: int, top: int, side: int, steps: int | None, words: str
) -> tuple[float, dict[str, float]]:
    """Seconds from the call to the finished job, and seconds of each stage."""
    started = time.perf_counter()
    where, size = intarsia.rectangle(left, top, left + side, top + side), min(max(side, 64), 128)
    job = client.edit_region(picture, where, words, seed=7, steps=steps, context=0, working_size=size)
    manifest = job.result(timeout=300).manifest
    took = time.perf_counter() - started
    return took, {stage: spent.total_seconds() for stage, spent in manifest.stage_times.items()}


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048], help="in pixels"
    )
    parser.add_argument("--steps", type=int, help="by default the weights' own number")
    parser.add_argument("--rounds", type=int, default=5)
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.region_cost", threads=options.threads, weights=weights)
    asks = f"What does a region cost in a picture of {WIDTH} x {HEIGHT}, and alone?"
    report = BenchmarkReport("region_cost", asks, origin)
    pixels = workload.picture(WIDTH, HEIGHT, options.seed).copy()
    costs: dict[str, list[tuple[float, float]]] = {"within": [], "alone": [], "new": []}
    with stack(options, "region_cost") as running, intarsia.Client(running.address) as client:
        whole = client.upload(workload.png(pixels)).name
        for side in options.sides:
            edits = workload.edits(WIDTH, HEIGHT, (side,), options.seed)
            spent: dict[str, list[float]] = {kind: [] for kind in costs}
            stages: dict[str, list[dict[str, float]]] = {kind: [] for kind in costs}
            for number, edit in zip(range(-1, options.rounds), edits):  # noqa: B905 - edits never end
                crop = pixels[edit.top : edit.top + side, edit.left : edit.left + side].copy()
                # Different by one bit, so that no cache of encoded crops helps.
                crop[0, 0] ^= 1
                pixels[edit.top, edit.left] ^= 2
                variants = {
                    "within": (whole, edit.left, edit.top),
                    "alone": (client.upload(workload.png(crop)).name, 0, 0),
                    "new": (client.upload(workload.png(pixels)).name, edit.left, edit.top),
                }
                # In alternating order, so that no variant profits from being first.
                for kind in list(variants)[:: 1 if number % 2 else -1]:
                    took, parts = timed(
                        client, *variants[kind], side, options.steps, f"{edit.instruction} {kind}"
                    )
                    if number >= 0:  # the first round only warms up
                        spent[kind].append(took)
                        stages[kind].append({**parts, "around": took - sum(parts.values())})
            ratio, new = (
                median([a / b for a, b in zip(spent[kind], spent["alone"], strict=True)])
                for kind in ("within", "new")
            )
            for kind, points in costs.items():
                points.append((side, median(spent[kind]) * 1e3))
            share = side * side / (WIDTH * HEIGHT)
            report.add(
                side=side,
                share_of_picture=share,
                rounds=options.rounds,
                ratio_p50=ratio,
                new_ratio_p50=new,
                bar=BAR if share <= SMALL else None,
                met=ratio <= BAR if share <= SMALL else None,
                **{
                    key: value
                    for kind in spent
                    for key, value in milliseconds(spent[kind], 0.5, name=kind).items()
                },
                **{f"{stage}_added_ms": added(stages, stage) for stage in stages["within"][0]},
            )
    print(report.write(options.out))
    (options.out / "region_cost.svg").write_text(plot(costs, origin), encoding="utf-8")
    return 0 if verdicts(report.lines) or not options.strict else 1


def added(stages: Mapping[str, Sequence[Mapping[str, float]]], stage: str) -> float:
    """Milliseconds that a stage takes longer for a large picture, read before, than for the crop alone."""
    within, alone = (median([parts[stage] for parts in stages[kind]]) for kind in ("within", "alone"))
    return round((within - alone) * 1e3, 1)


def plot(costs: Mapping[str, Points], origin: Origin) -> str:
    """The median cost of each kind of edit against the size of its region, as SVG."""
    names = {"within": f"in {WIDTH} x {HEIGHT}", "alone": "the crop alone", "new": "in one not read before"}
    _, small = min(costs["alone"])
    return lines(
        "What an edit costs against the size of its region",
        {name: costs[kind] for kind, name in names.items()},
        across="side of the region, in pixels",
        up="milliseconds, median",
        doubling=True,
        limits={f"{BAR} x smallest crop": BAR * small},
        below=f"commit {origin.commit}, {origin.device}, {origin.cores} cores, load {origin.load:g}",
    )


if __name__ == "__main__":
    sys.exit(main())
