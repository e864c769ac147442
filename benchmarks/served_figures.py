"""Does the service reach the figures on the cards of the starter weights?

    python -m benchmarks.served_figures --n 200

Runs on the whole platform what `training.recipes.evaluate` runs on the networks alone: the same questions
about the same held-out pictures, judged by the same functions. Only the noise differs. Objects in clips are
clicked on in the first frame, and the mask found there is tracked. Regions of edits are as large as what may
change, without a feather, and the model sees the whole picture, as in the recipe. For words the service does
more than the card's network: SAM 2 outlines its map.

Photos are edited as users do it: whole pictures, things of all sizes anywhere in them, nothing set but the
seed. What is recoloured or removed is chosen by a click, a box, words or a mask; what gets another shape by a
rectangle or a mask with room for it, since nothing changes outside a region. Two further parts ask the same
of small pictures of small things, and of larger ones.

A figure is kept if the mean is not worse than the card's by more than the noise of this run: two standard
errors of the mean over its samples. Figures for which the card has no minimum are not compared.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

import intarsia
from benchmarks import workload
from benchmarks.clips import decode, encode
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, Value
from benchmarks.stack import stack
from canvas.mask import bounding_box
from services.bundles.bundle import open_bundles
from training.recipes import edit_measure, fill_measure, text_measure
from training.recipes.edit_measure import EditCase, PhotoKind
from training.recipes.evaluate import SPLIT
from training.recipes.figure import Figure, Row, tally
from training.recipes.figures_of_ip2p import edits as edit_figures
from training.recipes.figures_of_ip2p import photos as photo_figures
from training.recipes.figures_of_sam import TrackingCase, tracking_case
from training.recipes.figures_of_sam import tracking as track_figures
from training.recipes.figures_of_sam import words as word_figures
from training.recipes.figures_of_sd2_inpaint import fills as fill_figures
from training.recipes.fill_measure import Gap
from training.recipes.sam_prompt import deepest_point
from training.world.ground import UNIT
from training.world.photo import Photo
from training.world.scene import draw

FEWEST = 10  # samples of a kind below which results mean nothing
ERRORS = 2.0  # standard errors that count as noise
PATIENCE = 300.0  # seconds


@dataclass(frozen=True)
class ServedPlatform:
    """The running platform, with several calls at once. `seed` and a question's number choose its noise."""

    client: intarsia.Client
    at_once: int
    seed: int
    listed_sizes: bool = True  # photos are worked at the sizes that bundles list, not at that of their crop

    def each(self, ask: Callable[..., Any], *of: Iterable[Any]) -> list[Any]:
        """Applies a call to each of the arguments in parallel; the results are in order."""
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(ask, *of))

    def segment(self, picture: np.ndarray, phrase: str) -> np.ndarray:
        """The mask of all objects that a phrase names, bool (height, width)."""
        where = intarsia.words(phrase).choosing("all")
        try:
            found = self.client.segment_region(workload.png(picture), where)
        except intarsia.errors.EmptyRegion:
            return np.zeros(picture.shape[:2], bool)
        return workload.pixels(self.client.read(found.region.mask)) > 127

    def track(self, shown: TrackingCase, thing: int) -> float:
        """J of an object that is clicked on in the first frame of a clip, over all later frames."""
        job = self.client.track_region(
            encode(shown.film.pixels), intarsia.click(*map(float, shown.point(thing)))
        )
        masks = self.client.read(job.result(timeout=PATIENCE).masks)
        return statistics.fmean(shown.overlaps(thing, torch.from_numpy(decode(masks) > 127)))

    def edit(self, number: int, question: EditCase) -> np.ndarray:
        """The edited picture, uint8 (height, width, 3)."""
        job = self.client.edit_region(
            workload.png(question.source.pixels),
            _mask(question.around).feathered(0),
            question.edit.instruction,
            seed=self.seed + number,
            layout="whole",
        )
        return self._made(job)

    def edit_photo(self, number: int, photo: Photo, case: EditCase) -> np.ndarray:
        """The crop of an edited photo, uint8 (height, width, 3); as it was if nothing was found there."""
        scene = draw(photo.versions.scene(case.edit.source))
        own_size = min(max(photo.crop.width, photo.crop.height, UNIT // 2), UNIT)
        try:
            job = self.client.edit_region(
                workload.png(scene.pixels),
                photo_region(number, photo, case, scene.masks[case.place] > 0.5),
                case.edit.instruction,
                seed=self.seed + number,
                working_size=None if self.listed_sizes else own_size,
            )
            return self._made(job)[photo.crop.window]
        except intarsia.errors.EmptyRegion:
            return case.source.pixels

    def fill(self, number: int, gap: Gap) -> np.ndarray:
        """A picture with its hole filled, uint8 (height, width, 3)."""
        job = self.client.fill_region(
            workload.png(gap.pixels),
            _mask(gap.hole).feathered(0),
            fill_measure.WORDS,
            seed=self.seed + number,
            steps=fill_measure.STEPS,
            guidance=fill_measure.GUIDANCE,
            layout="whole",
        )
        return self._made(job)

    def _made(self, job: intarsia.Job) -> np.ndarray:
        return workload.pixels(self.client.read(job.result(timeout=PATIENCE).picture))


def words(service: ServedPlatform, count: int) -> list[Row]:
    """Two phrases about each of `count` scenes, or a few more."""
    rows: list[Row] = []
    for asked in text_measure.phrase_batches(SPLIT, count):
        found = service.each(service.segment, asked.pixels[asked.which], asked.phrases)
        rows += text_measure.figures_of(asked, np.stack(found))
    return rows


def tracks(service: ServedPlatform, count: int) -> list[Row]:
    """About so many objects in clips of 8 frames, and so many clips of 24."""
    walks = [tracking_case(SPLIT, "drift", index) for index in range(count * 2 // 5)]
    walks += [tracking_case(SPLIT, ("hide", "leave")[index % 2], index) for index in range(count)]
    asked = [(one, thing) for one in walks for thing in one.things]
    found = service.each(service.track, *zip(*asked, strict=True))
    return [{f"track {len(one.film.pixels)}": j} for (one, _), j in zip(asked, found, strict=True)]


def edits(service: ServedPlatform, count: int) -> list[Row]:
    """So many edits of each kind."""
    asked = edit_measure.edit_cases(SPLIT, count * len(edit_measure.KINDS))
    made = service.each(service.edit, range(len(asked)), asked)
    return [edit_measure.figures_of(question, one / 255) for question, one in zip(asked, made, strict=True)]


def fills(service: ServedPlatform, count: int) -> list[Row]:
    """About so many holes, three of four on textured ground."""
    asked = fill_measure.gaps(SPLIT, count)
    made = service.each(service.fill, range(len(asked)), asked)
    return [fill_measure.figures_of(gap, one) for gap, one in zip(asked, made, strict=True)]


def photos(kind: PhotoKind, service: ServedPlatform, count: int) -> list[Row]:
    """So many edits of each kind."""
    asked = list(kind.cases(SPLIT, count * len(kind.kinds)))
    made = service.each(service.edit_photo, range(len(asked)), *zip(*asked, strict=True))
    rows = [edit_measure.figures_of(case, one / 255) for (_, case), one in zip(asked, made, strict=True)]
    return [{f"photo {name}": value for name, value in row.items()} for row in rows]


def photo_region(number: int, photo: Photo, case: EditCase, inside: np.ndarray) -> intarsia.Region:
    """The region of a user's edit: one way after the other. `inside` are the thing's visible pixels."""
    way = number // len(edit_measure.KINDS)
    room = np.zeros(inside.shape, bool)
    room[photo.crop.window] = case.around
    box = astuple(bounding_box(room))
    if case.edit.kind in ("reshape", "replace"):
        return intarsia.rectangle(*box) if way % 2 else _mask(room)
    before = photo.versions.things[case.edit.source]
    others = (*photo.versions.others, *photo.versions.front)
    match way % 4:
        case 0:
            return intarsia.box(*box)
        case 1 if before is not None and all(other.words != before.words for other in others):
            return intarsia.words(before.words)
        case 2:
            return _mask(room)
    return intarsia.click(*map(float, deepest_point(inside)))


SMALL = PhotoKind("small photos", (128, 128), (10.0, 32.0), ("recolour", "remove"))
LARGE = PhotoKind("large photos", (480, 640), (35.0, 80.0), ("recolour", "remove"))


@dataclass(frozen=True)
class CardSection:
    """Figures of a bundle's card that are measured together."""

    name: str
    bundle: str
    ask: Callable[[ServedPlatform, int], list[Row]]
    figures: Callable[[Mapping[str, float]], list[Figure]]
    metrics: str = ""  # how their names begin, if a card may lack all of them

    def is_in(self, promised: Iterable[str]) -> bool:
        """False if none of these metrics is its own, so that it would be measured for nothing."""
        return any(metric.startswith(self.metrics) for metric in promised)


SECTIONS = (
    CardSection("words", "sam", words, word_figures),
    CardSection("tracks", "sam", tracks, track_figures),
    CardSection("edits", "ip2p", edits, edit_figures),
    CardSection("fills", "sd2_inpaint", fills, fill_figures),
    CardSection("photos", "ip2p", partial(photos, PhotoKind()), photo_figures, "photo"),
    CardSection("photos 128 x 128", "ip2p", partial(photos, SMALL), photo_figures, "photo"),
    CardSection("photos 640 x 480", "ip2p", partial(photos, LARGE), photo_figures, "photo"),
)


def promises(card: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a card that have a minimum, by metric."""
    return {one["metric"]: one["value"] for one in card["figures"] if one["minimum"] is not None}


def compare(
    part: CardSection, rows: Sequence[Row], promised: Mapping[str, float]
) -> Iterator[dict[str, Value]]:
    """Yields a line for every promised figure that these rows measure."""
    served, errors, counts = (part.figures(tally(rows, by)) for by in (statistics.fmean, _error, len))
    for figure, error, count in zip(served, errors, counts, strict=True):
        if figure.metric not in promised:
            continue
        difference, noise = figure.value - promised[figure.metric], ERRORS * error.value
        yield {
            "part": part.name,
            "metric": figure.metric,
            "n": int(count.value),
            "served": round(figure.value, 4),
            "card": promised[figure.metric],
            "difference": round(difference, 4),
            "noise": round(noise, 4),
            "verdict": "kept" if (-difference if figure.least else difference) >= -noise else "missed",
        }


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--n", type=int, default=200, help="number of samples of each kind")
    parser.add_argument("--clients", type=int, default=4, help="calls at once")
    names = [part.name for part in SECTIONS]
    parser.add_argument("--only", choices=names, action="append", help="this part; may be repeated")
    parser.add_argument(
        "--crop-size", action="store_true", help="work photos at the size of their crop, 64 to 128 pixels"
    )
    options = parse(parser, argv)
    if options.n < FEWEST:
        parser.error(f"--n {options.n}: must be at least {FEWEST}")
    bundles = {name: bundle for name, bundle in open_bundles(options.weights).items() if bundle.card}
    if not bundles:
        parser.error(f"--weights {options.weights}: no bundle has a card with figures")
    digests = ", ".join(f"{name} {bundle.digest[:12]}" for name, bundle in bundles.items())
    origin = Origin.here(argv, module="benchmarks.served_figures", threads=options.threads, weights="")
    asks = "Does the service reach the figures on the cards of the starter weights?"
    report = BenchmarkReport("served_figures", asks, replace(origin, weights=digests))
    with stack(options, "served_figures") as running, intarsia.Client(running.address) as client:
        service = ServedPlatform(client, options.clients, options.seed, not options.crop_size)
        for part in SECTIONS:
            if options.only and part.name not in options.only:
                continue
            promised = promises(bundles[part.bundle].card) if part.bundle in bundles else {}
            if not part.is_in(promised):
                print(f"{part.name}: skipped, no card in {options.weights} promises it")
                continue
            for line in compare(part, part.ask(service, options.n), promised):
                report.add(**line)
    print(report.write(options.out))
    missed = any(line["verdict"] == "missed" for line in report.lines)
    return 1 if missed and options.strict else 0


def _mask(inside: np.ndarray) -> intarsia.Region:
    """A region as somebody painted it, from a mask, bool (height, width)."""
    return intarsia.mask(workload.png(inside.astype(np.uint8) * 255), inside="white")


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("inf")


if __name__ == "__main__":
    sys.exit(main())
