"""Does this checkout cost more than an earlier one? Both serve at once and take turns.

    git worktree add ../before v0.1.0
    python -m benchmarks.before_after --before ../before --pairs 30

Each checkout runs its own platform and its own client, with the same weights, threads and seeds. A pair is
one measurement of either, in turn first and second; its ratio is this checkout's time over the other's.
The bar is held against the upper end of the 95 % interval of the median ratio. One edit is short, and so
noisy, and gets four times `--pairs`; a start is long, and gets a third. The table is written anew after every
question.

one edit    one warm edit of a region, from the call to the last byte of the picture
sharing     eight edits at once, until the last one is there
cancel      from the cancel of an endless edit until its slot in the step loop is free, eight times
track       a region tracked through 48 frames of 1280 x 720, from the call to the result
start       from the start of a further platform, with an empty data folder, to its first picture
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.options import make_parser, parse
from benchmarks.report import ROOT, BenchmarkReport, Origin, median, median_interval, verdicts
from services.bundles.bundle import Bundle

BAR = 1.05
QUESTIONS: dict[str, dict[str, Any]] = {
    "one edit": {"do": "edit", "side": 128, "steps": 20},
    "sharing": {"do": "share", "side": 64, "steps": 20, "clients": 8},
    "cancel": {"do": "cancel", "side": 128, "times": 8},
    "track": {"do": "track", "frames": 48},
    "start": {"do": "start", "side": 128, "steps": 2},
}
_FACTORS = {"one edit": 4.0, "start": 1 / 3}  # times as many pairs
_WORKER = Path(__file__).with_name("checkout_worker.py")


class Checkout:
    """A checkout's platform and its client, in processes of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def measure(self, **question: Any) -> float:
        """Seconds that the checkout takes for one measurement."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the checkout's worker ended with {self._process.wait()}; see its log")
        return float(json.loads(line)["seconds"])


@contextmanager
def serving(folder: Path, options: argparse.Namespace, name: str) -> Iterator[Checkout]:
    """The platform of a checkout. The worker runs with the checkout's own packages only."""
    data = (options.data / "before_after" / name).resolve()
    data.mkdir(parents=True, exist_ok=True)
    arguments = [str(data), str(options.weights.resolve()), str(options.threads)]
    with (data / "worker.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER.read_text(encoding="utf-8"), *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield Checkout(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # the worker stops its platform and ends
            process.wait()


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--before", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    options = parse(parser, argv)
    folder = options.before.resolve()
    if not (folder / "deploy" / "local").is_dir():
        parser.error(f"--before {options.before}: there is no checkout of this project")
    weights = Bundle.open(options.weights / "ip2p").digest
    origin = Origin.here(argv, module="benchmarks.before_after", threads=options.threads, weights=weights)
    asks = "This checkout's time over an earlier one's, both taking turns. Bar: 1.05"
    report = BenchmarkReport("before_after", asks, origin)
    with ExitStack() as opened:
        before = opened.enter_context(serving(folder, options, "before"))
        after = opened.enter_context(serving(ROOT, options, "after"))
        for name in options.questions:
            question = QUESTIONS[name]
            for checkout in (before, after):
                checkout.measure(**question, seed=options.seed)  # warm-up
            ratios, seconds, pairs = [], [], max(1, round(options.pairs * _FACTORS.get(name, 1)))
            for number in range(pairs):
                seed = options.seed + 1 + number
                first, second = (before, after) if number % 2 else (after, before)
                took = {id(each): each.measure(**question, seed=seed) for each in (first, second)}
                ratios.append(took[id(after)] / took[id(before)])
                seconds.append((took[id(before)], took[id(after)]))
            low, high = median_interval(ratios)
            report.add(
                question=name,
                pairs=pairs,
                ratio_p50=median(ratios),
                interval_low=low,
                interval_high=high,
                before_p50_ms=round(median([each for each, _ in seconds]) * 1e3, 1),
                after_p50_ms=round(median([each for _, each in seconds]) * 1e3, 1),
                bar=BAR,
                met=high <= BAR,
            )
            written = report.write(options.out)
    print(written)
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
