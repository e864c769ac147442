"""What is left of things, and what of their surroundings is touched, by the growth and feather of regions?

    python -m benchmarks.outlines --n 100

Clicks on things of the test split's scenes, of radius 8 to 80 in pictures of 96 to 1024 pixels, with the
network of the bundle `sam` alone. Of each thing that was found, `rim` counts the pixels in which more than
a tenth of it stays after a region is laid over it, for every pixel of its circumference; `clean` is the
share of things with no more than two such pixels; `touched` is the background in the region, as a share of
the thing's area. Each is said for the default growth and feather, and for a region that is not grown and
feathered over 8 pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin
from canvas.feather import feather
from canvas.growth import resolve_shaping
from canvas.mask import shape
from canvas.outline import remove_specks
from canvas.region import MaskCandidate, Shaping
from services.bundles.bundle import open_bundles
from services.sam.service import Sam
from training.recipes.sam_prompt import deepest_point
from training.world.address import Address
from training.world.scene import DrawnScene, Scene, a_scene, draw

SIDES = (96, 128, 256, 480, 1024)
RADII = (8, 16, 32, 80)
SMALLEST = 80  # visible pixels of a thing that is clicked on
FOUND = 0.6  # overlap from which on a thing counts as found
UNGROWN = Shaping(grow=0.0, feather=8.0)


def find(sam: Sam, size: int, drawn: DrawnScene, thing: int) -> MaskCandidate | None:
    """What a click on a thing finds; None if that is something else."""
    visible = drawn.masks[thing] > 0.5
    x, y = deepest_point(visible)
    point = torch.tensor([[float(x) + 0.5, float(y) + 0.5, 1.0]])
    reply = sam.answer({"picture": torch.from_numpy(drawn.pixels), "points": point})
    mask = remove_specks(reply["masks"][0].numpy())
    both, either = np.count_nonzero(visible & (mask > 0)), np.count_nonzero(visible | (mask > 0))
    side = max(drawn.pixels.shape[:2])
    return MaskCandidate(mask, float(reply["scores"][0]), side / size) if both >= FOUND * either else None


def remains(found: MaskCandidate, coverage: np.ndarray, radius: float, shaping: Shaping) -> dict[str, float]:
    """The figures of one thing."""
    own = resolve_shaping(shaping, found)
    alpha = feather(shape(found.mask.astype(np.float32), own), own.feather or 0.0)
    left = np.count_nonzero(coverage * (1 - alpha) > 0.1)
    touched = np.count_nonzero((alpha > 0) & (coverage == 0)) / np.count_nonzero(coverage > 0.5)
    return {
        "rim": left / (2 * math.pi * radius),
        "clean": left <= 2,
        "touched": touched,
        "grow": own.grow or 0,
    }


def things(side: int, count: int) -> Iterator[tuple[Scene, DrawnScene, int]]:
    """Every thing of so many scenes of this size that can be clicked on."""
    for number in range(count):
        address = Address("test", "outlines", number)
        scene = a_scene(address, height=side, width=side, radii=(RADII[0], min(RADII[-1], side / 3)))
        drawn = draw(scene)
        for thing, coverage in enumerate(drawn.masks):
            if np.count_nonzero(coverage > 0.5) >= SMALLEST:
                yield scene, drawn, thing


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--n", type=int, default=100, help="number of scenes of each size")
    options = parse(parser, argv)
    torch.set_num_threads(options.threads)
    bundle = open_bundles(options.weights)["sam"]
    sam = Sam(bundle, torch.device("cpu"))
    size = sam.facts()["size"]
    origin = Origin.here(argv, module="benchmarks.outlines", threads=options.threads, weights=bundle.digest)
    report = BenchmarkReport("outlines", "What is left of things, and what is touched?", origin)
    for side in SIDES:
        rows: dict[tuple[int, str], list[dict[str, float]]] = {}
        for scene, drawn, thing in things(side, options.n):
            found = find(sam, size, drawn, thing)
            if found is None:
                continue
            radius = scene.things[thing].radius
            least = max(one for one in RADII[:-1] if one <= radius)
            for how, shaping in (("default", Shaping()), ("not grown, feather 8", UNGROWN)):
                figures = remains(found, drawn.masks[thing], radius, shaping)
                rows.setdefault((least, how), []).append(figures)
        for (least, how), of in sorted(rows.items()):
            means = {name: round(float(np.mean([one[name] for one in of])), 3) for name in of[0]}
            report.add(side=side, radius=f"from {least}", shaping=how, n=len(of), **means)
    print(report.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
