"""What do adapters cost? Clients in a closed loop, each choosing one of N adapters at random.

    python -m benchmarks.adapters --adapters 0 1 2 4 8 --clients 6

Requests with the same adapters share passes, others cannot: the more adapters the same number of clients
choose from, the less is shared. Mixes of adapters take turns, each once with and once without the base
weights among the choices; 0 is the base alone. A round's ratio is a mix's pictures per second, from the call
to the picture's last byte, over those of the base alone in the same round. The adapters are random LoRA of
the attention layers. Every picture is compared with the one made alone before the first round; they may
differ by 1 of 255.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.plot import lines
from benchmarks.report import BenchmarkReport, Origin, Value, median, verdicts
from benchmarks.stack import stack
from services.bundles.bundle import Bundle
from training.tiny.adapters import lora

WIDTH, HEIGHT = 480, 320
EDITS = 3  # different edits, each made with every adapter
RANK, STRENGTH = 4, 0.5
TOLERANCE = 1  # of 255: the difference that sharing a pass may make
BASE = 0  # the style without an adapter; the others count from 1


@dataclass(frozen=True)
class EditTask:
    """An edit, and the adapter to make it with."""

    edit: workload.RegionEdit
    style: int


@dataclass(frozen=True)
class AdapterMix:
    """The choices of the clients: one of so many adapters, and perhaps the base."""

    adapters: int
    base: bool

    @property
    def styles(self) -> range:
        return range(BASE if self.base else 1, self.adapters + 1)


ALONE = AdapterMix(0, base=True)


@dataclass
class MixResult:
    """Pictures per second of a mix, by round, and the largest difference from a reference picture."""

    rates: list[float] = field(default_factory=list)
    difference: int = 0


@dataclass(frozen=True)
class Editor:
    """Makes edits through the service. `styles` are the names of the stored adapters."""

    client: intarsia.Client
    picture: str
    styles: Sequence[str]
    steps: int

    def make(self, task: EditTask) -> np.ndarray:
        """The picture, int16 (height, width, 3)."""
        edit, adapters = task.edit, self.styles[task.style - 1 : task.style] if task.style else ()
        job = self.client.edit_region(
            self.picture,
            intarsia.rectangle(*edit.box),
            edit.instruction,
            seed=edit.seed,
            steps=self.steps,
            context=0,
            working_size=edit.side,
            adapters=dict.fromkeys(adapters, STRENGTH),
        )
        return workload.pixels(self.client.read(job.result(timeout=300).picture)).astype(np.int16)


def mixes(counts: Iterable[int]) -> list[AdapterMix]:
    """The base alone, and every number of adapters without and with the base."""
    return [
        ALONE,
        *(AdapterMix(count, base) for count in sorted(set(counts) - {0}) for base in (False, True)),
    ]


def tasks_of(
    mix: AdapterMix, edits: Sequence[workload.RegionEdit], clients: int, each: int, seed: str
) -> list[list[EditTask]]:
    """The tasks of every client, in order."""
    rng = random.Random(f"{seed} {mix}")
    return [
        [EditTask(rng.choice(edits), rng.choice(mix.styles)) for _ in range(each)] for _ in range(clients)
    ]


def run_clients(
    make: Callable[[EditTask], np.ndarray], wanted: Sequence[Sequence[EditTask]]
) -> tuple[float, list[tuple[EditTask, np.ndarray]]]:
    """Pictures per second of a closed loop of clients, and all pictures."""

    def one(tasks: Sequence[EditTask]) -> list[tuple[EditTask, np.ndarray]]:
        return [(task, make(task)) for task in tasks]

    started = time.perf_counter()
    with ThreadPoolExecutor(len(wanted)) as pool:
        results = [result for client in pool.map(one, wanted) for result in client]
    return len(results) / (time.perf_counter() - started), results


def difference(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(one - other).max())


def make_references(
    make: Callable[[EditTask], np.ndarray], edits: Sequence[workload.RegionEdit], styles: int
) -> dict[EditTask, np.ndarray]:
    """Makes every edit in every style, one at a time. Raises for an adapter that changes nothing."""
    references = {
        EditTask(edit, style): make(EditTask(edit, style)) for edit in edits for style in range(styles + 1)
    }
    for task, picture in references.items():
        if task.style != BASE and difference(picture, references[EditTask(task.edit, BASE)]) <= 3 * TOLERANCE:
            raise RuntimeError(f"adapter {task.style} changes next to nothing of {task.edit.instruction!r}")
    return references


def figures(mix: AdapterMix, measured: MixResult, base: MixResult) -> dict[str, Value]:
    """The result line of a mix."""
    ratios = [a / b for a, b in zip(measured.rates, base.rates, strict=True)]
    return {
        "adapters": mix.adapters,
        "base": mix.base,
        "per_s_p50": median(measured.rates),
        "ratio_p50": median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
        "apart_of_255": measured.difference,
        "met": measured.difference <= TOLERANCE,
    }


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--adapters", type=int, nargs="+", default=[0, 1, 2, 4, 8], help="numbers of adapters"
    )
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--side", type=int, default=128, help="side of the region, in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=4, help="pictures of each client in a round")
    parser.add_argument("--steps", type=int, default=10)
    options = parse(parser, argv)
    bundle = Bundle.open(options.weights / "ip2p")
    origin = Origin.here(argv, module="benchmarks.adapters", threads=options.threads, weights=bundle.digest)
    asks = f"What do adapters cost? Pictures per second of {options.clients} clients, over the base alone"
    report = BenchmarkReport("adapters", asks, origin)
    edits = list(islice(workload.edits(WIDTH, HEIGHT, (options.side,), options.seed), EDITS))
    network, most = bundle.network("unet"), max(options.adapters)
    with stack(options, "adapters") as running, intarsia.Client(running.address) as client:
        files = (lora(network, options.seed + n, rank=RANK).numpy().tobytes() for n in range(most))
        styles = [client.upload(file).name for file in files]
        picture = client.upload(workload.png(workload.picture(WIDTH, HEIGHT, options.seed))).name
        editor = Editor(client, picture, styles, options.steps)
        references = make_references(editor.make, edits, most)
        measured = {mix: MixResult() for mix in mixes(options.adapters)}
        for number in range(-1, options.rounds):
            # In alternating order, so that no mix profits from being first.
            for mix in list(measured)[:: 1 if number % 2 else -1]:
                wanted = tasks_of(mix, edits, options.clients, options.each, f"{options.seed} {number}")
                rate, pictures = run_clients(editor.make, wanted)
                if number >= 0:  # the first round only warms up
                    measured[mix].rates.append(rate)
                differences = [difference(found, references[task]) for task, found in pictures]
                measured[mix].difference = max(measured[mix].difference, *differences)
    for mix, one in measured.items():
        report.add(clients=options.clients, rounds=options.rounds, **figures(mix, one, measured[ALONE]))
    print(report.write(options.out))
    (options.out / "adapters.svg").write_text(plot(measured, options.clients, origin), encoding="utf-8")
    return 0 if verdicts(report.lines) or not options.strict else 1


def plot(measured: Mapping[AdapterMix, MixResult], clients: int, origin: Origin) -> str:
    """The median throughput against the number of adapters, as SVG."""
    names = {False: "one of them", True: "one of them or the base"}
    series = {
        name: [
            (mix.adapters, median(one.rates))
            for mix, one in measured.items()
            if mix.base == base or mix == ALONE
        ]
        for base, name in names.items()
    }
    return lines(
        "Pictures per second against the number of adapters",
        series,
        across=f"adapters that {clients} clients choose from at random",
        up="pictures per second, median of the rounds",
        below=f"commit {origin.commit}, {origin.device}, {origin.cores} cores, load {origin.load:g}",
    )


if __name__ == "__main__":
    sys.exit(main())
