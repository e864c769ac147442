"""Does memory stay flat however long a clip is, and what does a frame cost?

    python -m benchmarks.long_clip --frames 3000

A thing on its way to and fro is followed through a clip, with the overlay. After every frame that is told of,
memory is looked at, of the orchestrator, which decodes, follows and encodes, and of the model, which
remembers. Each is flat if what it would grow over the whole clip, by the slope of the second half, is less
than a tenth of its peak.
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
from benchmarks.options import parsed, parser
from benchmarks.report import Origin, Report, verdicts
from benchmarks.running import stack
from deploy.local.stack import Stack
from orchestrator.media.clip.writer import colour_clip
from services.bundles.bundle import Bundle
from training.world.address import Address
from training.world.ground import paint_ground
from training.world.thing import Thing, a_thing, cover, paint_thing

RATE = 25
LAP = 100  # frames from one side to the other


def film(file: Path, frames: int, width: int, height: int, seed: int) -> tuple[float, float]:
    """Writes the clip; where the thing is in its first frame."""
    address = Address("watch", "long clip", seed)
    ground, dice = paint_ground(address, height, width), address.dice("thing")
    radius = min(width, height) / 8
    thing = a_thing(dice, radius=radius, x=0.0, y=height / 2)
    time_base = Fraction(1, RATE)
    with colour_clip(file, width, height, rate=Fraction(RATE), time_base=time_base) as clip:
        for number in range(frames):
            clip.write(_drawn(_moved(thing, number, width), ground), number * time_base)
    return _moved(thing, 0, width).x, thing.y


def _moved(thing: Thing, number: int, width: int) -> Thing:
    way = abs((number / LAP) % 2 - 1)
    return replace(thing, x=2 * thing.radius + way * (width - 4 * thing.radius), turn=number / 40)


def _drawn(thing: Thing, ground: np.ndarray) -> np.ndarray:
    canvas = ground.copy()
    paint_thing(canvas, thing, cover(thing, *ground.shape[:2]))
    return np.rint(canvas * 255).astype(np.uint8)


def processes(running: Stack) -> dict[str, psutil.Process]:
    """Those whose memory counts."""
    children = psutil.Process(running.triton.pid).children()
    (model,) = [child for child in children if any("/sam/" in word for word in child.cmdline())]
    return {"orchestrator": psutil.Process(running.orchestrator_pid), "model": model}


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--frames", type=int, default=3000)
    made.add_argument("--width", type=int, default=640)
    made.add_argument("--height", type=int, default=360)
    options = parsed(made, argv)
    weights = Bundle.open(options.weights / "sam").digest
    origin = Origin.here(argv, module="benchmarks.long_clip", threads=options.threads, weights=weights)
    asks = f"A thing followed through {options.frames} frames: memory, and where it was seen"
    report = Report("long_clip", asks, origin)
    with tempfile.TemporaryDirectory() as place, stack(options, "long_clip") as running:
        file = Path(place) / "clip.mp4"
        where = film(file, options.frames, options.width, options.height, options.seed)
        watched = processes(running)
        sizes: dict[str, list[int]] = {name: [] for name in watched}
        with intarsia.Client(running.address) as client:
            job = client.track_region(file, intarsia.click(*where), overlay=True)
            for state in job.watch(timeout=3600.0):
                if state.progress.stage == "track":
                    for name, process in watched.items():
                        sizes[name].append(process.memory_info().rss)
            result = job.result()
        times = {each.stage: each.duration.ToTimedelta().total_seconds() for each in result.stage_times}
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
