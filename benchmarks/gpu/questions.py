"""How each figure is measured. What is needed is started when the first figure needs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType

import torch

from benchmarks.gpu.device import operations, peak
from benchmarks.gpu.figures import MANY, Figure, LoopFigure, Scale
from benchmarks.gpu.loop import BarePipeline, StepLoop
from benchmarks.gpu.platform import Platform, platform_on
from benchmarks.gpu.tracking import LibraryLoop, ServiceLoop, TrackedClip
from benchmarks.gpu.turns import Budget, in_turns, settle
from benchmarks.report import Value, median
from benchmarks.step_overhead import step_seconds
from services.bundles.bundle import Bundle

_WARM, _MEASURED = 6.0, 10.0  # seconds of each figure, at most
_BRANCHES = 3  # rows of a request in a pass


@dataclass(frozen=True)
class Answer:
    """The value of a figure in its unit, and what else was seen."""

    value: float
    seen: Mapping[str, Value] = field(default_factory=dict)


class Questions:
    """Measures figures on a device; a context that stops what was started."""

    def __init__(
        self, options: argparse.Namespace, scale: Scale, device: torch.device, budget: Budget
    ) -> None:
        self._options, self._scale, self._device, self._budget = options, scale, device, budget
        self._running: Platform | None = None
        self._open = ExitStack()
        self._platform_fault: Exception | None = None
        self._answers: dict[str, Callable[[], Answer]] = {
            "triton": self._beyond_the_loop,
            "edit": self._one_edit,
            "edits": self._many_edits,
            "mixed": self._mixed,
            "follow": self._follow,
            "tracking": self._tracking,
        }

    def __enter__(self) -> Questions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def answer(self, figure: Figure) -> Answer:
        """Measures a figure; raises whatever goes wrong."""
        if isinstance(figure, LoopFigure):
            self._stop_platform()  # its probes would be measured too
            return self._loop_beside_pipeline(figure)
        return self._answers[figure.name]()

    @cached_property
    def peak(self) -> float:
        """Operations a second that arithmetic can reach on this device."""
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        return peak(self._device, dtype, self._scale.matrix)

    @cached_property
    def _bundle(self) -> Bundle:
        return Bundle.open(self._options.weights / "ip2p")

    @cached_property
    def _loop(self) -> StepLoop:
        return StepLoop(self._bundle, self._device, self._scale.price_seconds)

    @cached_property
    def _pipeline(self) -> BarePipeline:
        return BarePipeline(self._bundle, self._loop.family.network)

    def _compiled_loop(self, figure: LoopFigure) -> tuple[StepLoop, BarePipeline | None]:
        """A loop with a network of its own, compiled for the passes of a figure, and if there is time the
        pipeline compiled too."""
        passes = (_BRANCHES * figure.requests, figure.side**2, (self._options.data / "cache").resolve())
        loop = StepLoop(self._bundle, self._device, self._scale.price_seconds, passes)
        if self._budget.left() < figure.needs:
            return loop, None
        return loop, BarePipeline(self._bundle, loop.family.network, self._scale.compiler)

    @property
    def _platform(self) -> Platform:
        """The running platform, started when it is needed; a start that failed is not repeated."""
        if self._platform_fault is not None:
            raise self._platform_fault
        if self._running is None:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                self._running = self._open.enter_context(
                    platform_on(self._options, self._scale, self._device)
                )
            except Exception as fault:  # told in the line of every figure that needs it
                self._platform_fault = fault
                raise
        return self._running

    def _stop_platform(self) -> None:
        self._running = None
        self._open.close()

    def _measure(self, ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Warms up each way, then measures them in turns."""
        for way in ways.values():
            settle(way, self._budget.rounds(self._scale.warm_runs, _WARM))
        return in_turns(ways, self._budget.rounds(self._scale.rounds, _MEASURED))

    def _loop_beside_pipeline(self, figure: LoopFigure) -> Answer:
        scale, side, count = self._scale, figure.side, figure.requests
        loop, pipeline = self._compiled_loop(figure) if figure.compiled else (self._loop, self._pipeline)
        requests = loop.requests(side, count, scale.steps, scale.tokens)
        ways = {"loop": lambda: loop.seconds(requests)}
        if pipeline is not None:
            ways["bare"] = lambda: pipeline.seconds(side, count, scale.steps, scale.tokens)
        spent = self._measure(ways)
        loop.meter.rows.clear()
        loop.denoise(requests)
        ours = median(spent["loop"]) / scale.steps
        branches = sum(len(request.branches) for request in requests)
        work = operations(loop.family.network, 1, side, scale.tokens) * branches
        return Answer(
            ours * 1e3,
            {
                **_beside({name: [each / scale.steps for each in times] for name, times in spent.items()}),
                "peak_share": work / ours / self.peak,
                "rows_a_pass": sum(loop.meter.rows) / len(loop.meter.rows),
                "path": loop.path(),
            },
        )

    def _beyond_the_loop(self) -> Answer:
        loop, scale, platform = self._loop, self._scale, self._platform
        steps = max(scale.edit_steps, 3)
        requests = loop.requests(scale.large, 1, steps, 16)
        spent = self._measure(
            {
                "triton": lambda: platform.step_seconds(steps),
                "loop": lambda: step_seconds(loop.denoise(requests)[0].times),
            }
        )
        beyond = [a - b for a, b in zip(spent["triton"], spent["loop"], strict=True)]
        found = {f"{name}_ms": median(times) * 1e3 for name, times in spent.items()}
        return Answer(median(beyond) * 1e3, {**found, "rounds": len(beyond)})

    def _one_edit(self) -> Answer:
        platform = self._platform
        settle(
            lambda: platform.edit(platform.edits(1)[0])[0], self._budget.rounds(self._scale.warm_runs, _WARM)
        )
        took, stages = [], []
        for _ in self._budget.rounds(3 * self._scale.rounds, _MEASURED):
            seconds, manifest = platform.edit(platform.edits(1)[0])
            took.append(seconds)
            stages.append({name: spent.total_seconds() for name, spent in manifest.stage_times.items()})
        parts = {f"{name}_ms": median([each[name] for each in stages]) * 1e3 for name in stages[0]}
        return Answer(median(took) * 1e3, {"rounds": len(took), "stages": _words(parts)})

    def _many_edits(self) -> Answer:
        platform = self._platform

        def rate() -> float:
            return platform.rate(platform.edits(MANY * self._scale.edits), MANY)

        settle(rate, self._budget.rounds(self._scale.warm_runs, _WARM))
        shared = platform.shared_steps()
        rates = [rate() for _ in self._budget.rounds(self._scale.rounds, _MEASURED)]
        return Answer(median(rates), {"rounds": len(rates), "steps_a_pass": shared.a_pass()})

    def _mixed(self) -> Answer:
        platform = self._platform

        def rate(clients: int) -> float:
            return platform.rate(platform.mixed(MANY * self._scale.edits), clients)

        ways = {"many": lambda: rate(MANY), "one": lambda: rate(1)}
        shared = platform.shared_steps()
        rates = self._measure(ways)
        ratios = [a / b for a, b in zip(rates["many"], rates["one"], strict=True)]
        found = {f"{name}_a_second": median(each) for name, each in rates.items()}
        return Answer(median(ratios), {**found, "steps_a_pass": shared.a_pass(), "rounds": len(ratios)})

    def _follow(self) -> Answer:
        platform, frames = self._platform, self._scale.frames
        settle(lambda: platform.follow(frames)[0], self._budget.rounds(2, _WARM))
        found = [platform.follow(frames) for _ in self._budget.rounds(self._scale.rounds, _MEASURED)]
        jobs, tracks = ([pair[place] / frames * 1e3 for pair in found] for place in (0, 1))
        return Answer(median(tracks), {"job_ms_a_frame": median(jobs), "rounds": len(found)})

    def _tracking(self) -> Answer:
        """The service without Triton, beside sam2's own predictor for clips."""
        self._stop_platform()
        bundle = Bundle.open(self._options.weights / "sam")
        clip = TrackedClip(*self._scale.clip, self._scale.frames)
        ways = {
            "loop": ServiceLoop(bundle, self._device, clip).seconds_a_frame,
            "bare": LibraryLoop(bundle, self._device, clip).seconds_a_frame,
        }
        spent = self._measure(ways)
        return Answer(median(spent["loop"]) * 1e3, _beside(spent))


def _beside(spent: Mapping[str, list[float]]) -> dict[str, Value]:
    """The bare library's time, and the median ratio of ours to it."""
    if "bare" not in spent:
        return {"rounds": len(spent["loop"]), "note": "the time was over before the pipeline"}
    ratios = [a / b for a, b in zip(spent["loop"], spent["bare"], strict=True)]
    return {"bare_ms": median(spent["bare"]) * 1e3, "over_bare": median(ratios), "rounds": len(ratios)}


def _words(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
