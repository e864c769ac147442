"""Does the service keep what the cards of the starter weights promise?

    python -m benchmarks.served_figures --n 200

Asks the whole platform what `training.recipes.evaluate` asks the bare networks: the same questions about the
same pictures, which nothing was learnt from, judged by the same functions. Only the noise is another one.
Things in clips are clicked on in the first frame, and the mask found there is followed. Regions of edits are
as large as what may change, not feathered, and the whole picture is shown to the model, so that it sees what
it sees there. By words the service does more than the card's network, whose map it has outlined by SAM 2.

A promise is kept if the mean is not worse than the card's by more than its own noise: two standard errors
of the mean over the samples of this run. What the card sets no bar for is no promise.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import intarsia
from benchmarks import workload
from benchmarks.clips import packed, unpacked
from benchmarks.options import parsed, parser
from benchmarks.report import Origin, Report, Value
from benchmarks.running import stack
from services.bundles.bundle import open_bundles
from training.recipes import edit_measure, fill_measure, text_measure
from training.recipes.edit_measure import Question
from training.recipes.evaluate import SPLIT
from training.recipes.figure import Figure, Row, tally
from training.recipes.figures_of_ip2p import edits as promised_of_edits
from training.recipes.figures_of_sam import Walk, walk
from training.recipes.figures_of_sam import following as promised_of_tracks
from training.recipes.figures_of_sam import words as promised_of_words
from training.recipes.figures_of_sd2_inpaint import fills as promised_of_fills
from training.recipes.fill_measure import Gap

FEWEST = 10  # samples of a kind below which there is nothing to say
ERRORS = 2.0  # standard errors that count as noise
PATIENCE = 300.0  # seconds


@dataclass(frozen=True)
class Service:
    """The running platform, asked several things at once. `seed` and a question's number choose its noise."""

    client: intarsia.Client
    at_once: int
    seed: int

    def each(self, ask: Callable[..., Any], *of: Iterable[Any]) -> list[Any]:
        """The answers to a question asked about each, in their order."""
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(ask, *of))

    def named(self, picture: np.ndarray, phrase: str) -> np.ndarray:
        """All that a phrase names, bool (height, width)."""
        where = intarsia.words(phrase).choosing("all")
        try:
            found = self.client.segment_region(workload.png(picture), where)
        except intarsia.errors.EmptyRegion:
            return np.zeros(picture.shape[:2], bool)
        return workload.pixels(self.client.read(found.region.mask)) > 127

    def followed(self, shown: Walk, thing: int) -> float:
        """J of a thing that is clicked on in the first frame of a clip, over all frames after it."""
        job = self.client.track_region(
            packed(shown.film.pixels), intarsia.click(*map(float, shown.point(thing)))
        )
        masks = self.client.read(job.result(timeout=PATIENCE).masks)
        return statistics.fmean(shown.overlaps(thing, torch.from_numpy(unpacked(masks) > 127)))

    def edited(self, number: int, question: Question) -> np.ndarray:
        """What becomes of a picture, uint8 (height, width, 3)."""
        job = self.client.edit_region(
            workload.png(question.source.pixels),
            _region(question.around),
            question.edit.instruction,
            seed=self.seed + number,
            layout="whole",
        )
        return self._made(job)

    def filled(self, number: int, gap: Gap) -> np.ndarray:
        """A picture with its hole filled, uint8 (height, width, 3)."""
        job = self.client.fill_region(
            workload.png(gap.pixels),
            _region(gap.hole),
            fill_measure.WORDS,
            seed=self.seed + number,
            steps=fill_measure.STEPS,
            guidance=fill_measure.GUIDANCE,
            layout="whole",
        )
        return self._made(job)

    def _made(self, job: intarsia.Job) -> np.ndarray:
        return workload.pixels(self.client.read(job.result(timeout=PATIENCE).picture))


def words(service: Service, count: int) -> list[Row]:
    """Two phrases about each of `count` scenes, or a few more."""
    rows: list[Row] = []
    for asked in text_measure.questions(SPLIT, count):
        found = service.each(service.named, asked.pixels[asked.which], asked.phrases)
        rows += text_measure.figures_of(asked, np.stack(found))
    return rows


def tracks(service: Service, count: int) -> list[Row]:
    """About so many things through 8 frames, and so many stories of 24."""
    walks = [walk(SPLIT, "drift", index) for index in range(count * 2 // 5)]
    walks += [walk(SPLIT, ("hide", "leave")[index % 2], index) for index in range(count)]
    asked = [(one, thing) for one in walks for thing in one.things]
    found = service.each(service.followed, *zip(*asked, strict=True))
    return [{f"track {len(one.film.pixels)}": j} for (one, _), j in zip(asked, found, strict=True)]


def edits(service: Service, count: int) -> list[Row]:
    """So many edits of each kind."""
    asked = edit_measure.questions(SPLIT, count * len(edit_measure.KINDS))
    made = service.each(service.edited, range(len(asked)), asked)
    return [edit_measure.figures_of(question, one / 255) for question, one in zip(asked, made, strict=True)]


def fills(service: Service, count: int) -> list[Row]:
    """About so many holes, three of four on textured ground."""
    asked = fill_measure.gaps(SPLIT, count)
    made = service.each(service.filled, range(len(asked)), asked)
    return [fill_measure.figures_of(gap, one) for gap, one in zip(asked, made, strict=True)]


@dataclass(frozen=True)
class Part:
    """Promises of a bundle that are asked about together, and what the card calls them."""

    name: str
    bundle: str
    ask: Callable[[Service, int], list[Row]]
    figures: Callable[[Mapping[str, float]], list[Figure]]


PARTS = (
    Part("words", "sam", words, promised_of_words),
    Part("tracks", "sam", tracks, promised_of_tracks),
    Part("edits", "ip2p", edits, promised_of_edits),
    Part("fills", "sd2_inpaint", fills, promised_of_fills),
)


def promises(card: Mapping[str, Any]) -> dict[str, float]:
    """What a card says of what it sets itself a bar for, by metric."""
    return {one["metric"]: one["value"] for one in card["figures"] if one["minimum"] is not None}


def compared(part: Part, rows: Sequence[Row], promised: Mapping[str, float]) -> Iterator[dict[str, Value]]:
    """A line for every promise that these rows tell about."""
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
    made = parser(__doc__)
    made.add_argument("--n", type=int, default=200, help="samples of each kind")
    made.add_argument("--clients", type=int, default=4, help="questions asked at once")
    options = parsed(made, argv)
    if options.n < FEWEST:
        made.error(f"--n {options.n}: below {FEWEST} there is nothing to say")
    bundles = {name: bundle for name, bundle in open_bundles(options.weights).items() if bundle.card}
    if not bundles:
        made.error(f"--weights {options.weights}: no bundle has a card that promises anything")
    told = ", ".join(f"{name} {bundle.digest[:12]}" for name, bundle in bundles.items())
    origin = Origin.here(argv, module="benchmarks.served_figures", threads=options.threads, weights="")
    asks = "Does the service keep what the cards of the starter weights promise?"
    report = Report("served_figures", asks, replace(origin, weights=told))
    with stack(options, "served_figures") as running, intarsia.Client(running.address) as client:
        service = Service(client, options.clients, options.seed)
        for part in PARTS:
            if part.bundle not in bundles:
                print(f"{part.name}: left out, {options.weights} has no {part.bundle} with a card")
                continue
            rows = part.ask(service, options.n)
            for line in compared(part, rows, promises(bundles[part.bundle].card)):
                report.add(**line)
    print(report.write(options.out))
    missed = any(line["verdict"] == "missed" for line in report.lines)
    return 1 if missed and options.strict else 0


def _region(inside: np.ndarray) -> intarsia.Region:
    """A region of hard edges, from a mask, bool (height, width)."""
    return intarsia.mask(workload.png(inside.astype(np.uint8) * 255), inside="white").feathered(0)


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("inf")


if __name__ == "__main__":
    sys.exit(main())
