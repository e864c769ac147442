"""Does memory stay flat however long a clip is, and what does a frame cost?

    python -m benchmarks.long_clip --frames 3000

An object that moves from side to side is tracked through a clip, with an overlay. After every reported frame
the memory of the orchestrator, which decodes and encodes, and of the model, which remembers frames, is
measured. Each is flat if its growth over the whole clip, by the slope of the second half, is less than a
tenth of its peak.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import intarsia
from benchmarks.memory import flatness
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, verdicts
from benchmarks.stack import stack
from deploy.local.stack import Stack
from deploy.local.stubs import stubs_of
from orchestrator.media.clip.writer import colour_clip
from services.bundles.bundle import Bundle
from training.world.address import Address
from training.world.ground import paint_ground
from training.world.thing import Thing, a_thing, cover, paint_thing

RATE = 25
PERIOD = 100  # frames from one side to the other


def write_clip(file: Path, frames: int, width: int, height: int, seed: int) -> tuple[float, float]:
    """Writes the clip; returns the object's position in the first frame."""
    address = Address("validation", "long clip", seed)
    ground, rng = paint_ground(address, height, width), address.rng("thing")
    radius = min(width, height) / 8
    thing = a_thing(rng, radius=radius, x=0.0, y=height / 2)
    time_base = Fraction(1, RATE)
    with colour_clip(file, width, height, rate=Fraction(RATE), time_base=time_base) as clip:
        for number in range(frames):
            clip.write(_drawn(_moved(thing, number, width), ground), number * time_base)
    return _moved(thing, 0, width).x, thing.y


def _moved(thing: Thing, number: int, width: int) -> Thing:
    share = abs((number / PERIOD) % 2 - 1)
    return replace(thing, x=2 * thing.radius + share * (width - 4 * thing.radius), turn=number / 40)


def _drawn(thing: Thing, ground: np.ndarray) -> np.ndarray:
    canvas = ground.copy()
    paint_thing(canvas, thing, cover(thing, *ground.shape[:2]))
    return np.rint(canvas * 255).astype(np.uint8)


def processes(running: Stack) -> dict[str, psutil.Process]:
    """The processes whose memory is measured."""
    pids = {"orchestrator": running.orchestrator.pid, "model": stubs_of(running.triton.pid)["sam"]}
    return {name: psutil.Process(pid) for name, pid in pids.items()}


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "sam").digest
    origin = Origin.here(argv, module="benchmarks.long_clip", threads=options.threads, weights=weights)
    asks = f"An object tracked through {options.frames} frames: memory, and frames that show it"
    report = BenchmarkReport("long_clip", asks, origin)
    with tempfile.TemporaryDirectory() as temporary, stack(options, "long_clip") as running:
        file = Path(temporary) / "clip.mp4"
        where = write_clip(file, options.frames, options.width, options.height, options.seed)
        measured = processes(running)
        sizes: dict[str, list[int]] = {name: [] for name in measured}
        with intarsia.Client(running.address) as client:
            job = client.track_region(file, intarsia.click(*where), overlay=True)
            for state in job.watch(timeout=3600.0):
                if state.progress.stage == "track":
                    for name, process in measured.items():
                        sizes[name].append(process.memory_info().rss)
            result = job.result()
        times = {stage: spent.total_seconds() for stage, spent in result.stage_times.items()}
        figures: dict[str, Any] = {}
        for name, seen in sizes.items():
            figures |= flatness(name, seen, each="look")
        report.add(
            frames=result.frames,
            seen=result.seen,
            width=result.width,
            height=result.height,
            looks=len(sizes["model"]),
            ms_a_frame=round(1000 * times["track"] / result.frames, 1),
            **figures,
            met=all(figures[name] for name in figures if name.endswith("_flat")),
        )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
