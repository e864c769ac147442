"""How fast is everything on a GPU? Measures the figures that have a bar, within a budget of time.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --questions loop-1 loop-8 --seconds 90
    python -m benchmarks.gpu --questions compiled-8 compiled-8-small --seconds 600
    python -m benchmarks.gpu --device cpu --tiny

Needs no weights: bundles of full size with random numbers are made there. The step loop by itself is
measured in turns with diffusers' own pipeline on the same network object, then the platform through Triton as
its clients use it. Each shape is warm before it is measured, and medians count. A figure that fails, or that
is not reached within the time, says so in its line. `--tiny` is for tests: small networks, one round, and no
figure is judged. Writes a table, the same as JSON, and a plot, named by the GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import traceback
from collections.abc import Mapping

import torch
from transformers.utils import logging

from benchmarks.gpu import bundles
from benchmarks.gpu.device import device_name, file_name, software
from benchmarks.gpu.figures import FULL, TINY, Figure, LoopFigure, figures
from benchmarks.gpu.questions import Questions
from benchmarks.gpu.turns import Budget
from benchmarks.options import make_parser, parse
from benchmarks.plot import Points, lines
from benchmarks.report import BenchmarkReport, Origin, Value, verdicts
from services.bundles.bundle import Bundle
from training import tiny

_FAILED = "failed"
_TO_STOP = 15.0  # seconds of the time that are kept for stopping everything


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    budget = Budget(options.seconds - _TO_STOP)
    torch.set_num_threads(options.threads)
    scale = TINY if options.tiny else FULL
    device = torch.device(options.device)
    judged = not options.tiny and device.type == "cuda"
    started = time.perf_counter()
    options.weights = options.weights or _weights(options, device)
    print(f"weights are at {options.weights} after {time.perf_counter() - started:.1f} s", flush=True)
    measured = device_name(device)
    origin = Origin.here(
        argv,
        module="benchmarks.gpu",
        threads=options.threads,
        weights=Bundle.open(options.weights / "ip2p").digest,
    )
    origin = dataclasses.replace(origin, device=f"{measured}, {software(device)}")
    name, asks = f"gpu-{file_name(measured)}", f"How fast is everything on one {measured}?"
    if options.tiny:
        name, asks = f"{name}-tiny", f"{asks} Small networks, which say nothing about it"
    report = BenchmarkReport(name, asks, origin)
    curves, usual = _Curves(), [figure.name for figure in figures(scale) if figure.usual]
    with Questions(options, scale, device, budget) as questions:
        report.add(figure="a product of large matrices", value=questions.peak / 1e12, unit="TFLOP/s")
        for figure in figures(scale):
            if figure.name in (options.questions or usual):
                line = _measure(questions, figure, budget, judged)
                report.add(**line)
                curves.add(figure, line)
                report.write(options.out)  # what was measured stays, whatever comes next
    print(report.write(options.out))
    if curves.series:
        below = f"commit {origin.commit}, {origin.device}"
        (options.out / f"{report.question}.svg").write_text(curves.plot(measured, below), encoding="utf-8")
    failed = any(str(line.get("note", "")).startswith(_FAILED) for line in report.lines)
    return 1 if failed or (options.strict and not verdicts(report.lines)) else 0


def _measure(questions: Questions, figure: Figure, budget: Budget, judged: bool) -> dict[str, Value]:
    """The line of a figure. One that failed or was not reached has missed its bar."""
    line: dict[str, Value] = {
        "figure": figure.words,
        "value": None,
        "unit": figure.unit,
        "at_least": figure.at_least if judged else None,
        "goal": figure.goal if judged else None,
        "met": False if judged and figure.at_least is not None else None,
    }
    if budget.left() < figure.needs:
        return {**line, "note": "not reached: the time was over"}
    began = time.perf_counter()
    try:
        answer = questions.answer(figure)
    except Exception as fault:  # of this figure alone: its line says so, and the others follow
        traceback.print_exc()
        words = " ".join(str(fault).split()).replace("|", "/")
        return {**line, "note": f"{_FAILED}: {type(fault).__name__}: {words}"[:300]}
    met = figure.reaches(answer.value) if judged else None
    took = round(time.perf_counter() - began, 1)
    return {**line, "value": answer.value, "met": met, **answer.seen, "seconds": took}


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    names = [figure.name for figure in figures(FULL)]
    parser.add_argument(
        "--questions", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}"
    )
    parser.add_argument("--seconds", type=float, default=360.0, help="time for everything")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small networks, one round, nothing is judged")
    options = parse(parser, argv, starter=False)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here; to try the command, use --device cpu --tiny")
    return options


def _weights(options: argparse.Namespace, device: torch.device) -> object:
    logging.disable_progress_bar()
    if options.tiny:
        return tiny.write(options.data / "tiny", options.seed)
    return bundles.write(options.data, device, options.seed)


class _Curves:
    """The time of a round against the number of requests, of the loop and of the bare pipeline."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[float, float]]] = {}

    def add(self, figure: Figure, line: Mapping[str, Value]) -> None:
        """Adds the points of a figure, if it is about the loop and was measured."""
        if not isinstance(figure, LoopFigure) or figure.compiled:
            return
        for name, column in (("loop", "value"), ("bare", "bare_ms")):
            if isinstance(point := line.get(column), float):
                words = f"{name}, {figure.side} x {figure.side}"
                self.series.setdefault(words, []).append((figure.requests, point))

    def plot(self, name: str, below: str) -> str:
        series: dict[str, Points] = dict(sorted(self.series.items()))
        title = f"One step of all requests, on one {name}"
        return lines(title, series, across="requests", up="milliseconds", doubling=True, below=below)


if __name__ == "__main__":
    sys.exit(main())
