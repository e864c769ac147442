"""What do adapters cost? Clients in a closed loop, each asking by chance for one of N adapters.

    python -m benchmarks.adapters --adapters 0 1 2 4 8 --clients 6

Requests that wear the same share passes, others cannot: the more adapters as many clients ask for, the less
is shared. Mixes of adapters take turns, each once with the base among what is asked for and once without;
0 is the base alone. A round's ratio is a mix's pictures per second, from the call to the picture's last
byte, over those of the base alone in the same round. The adapters are random LoRA of the attention layers.
Every picture is held against the one made alone before the first round; they may differ by 1 of 255.
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
from benchmarks.options import parsed, parser
from benchmarks.plot import lines
from benchmarks.report import Origin, Report, Value, median, verdicts
from benchmarks.running import stack
from services.bundles.bundle import Bundle
from training.tiny.adapters import lora

WIDTH, HEIGHT = 480, 320
EDITS = 3  # different ones, each made with every adapter
RANK, STRENGTH = 4, 0.5
APART = 1  # of 255, that company may change
BASE = 0  # the style of wearing nothing; the others count from 1


@dataclass(frozen=True)
class Wish:
    """An edit, and the adapter it wears."""

    edit: workload.Edit
    style: int


@dataclass(frozen=True)
class Mix:
    """What is asked for: one of so many adapters, or also the base."""

    adapters: int
    base: bool

    @property
    def styles(self) -> range:
        return range(BASE if self.base else 1, self.adapters + 1)


ALONE = Mix(0, base=True)


@dataclass
class Measured:
    """Pictures per second of a mix, round by round, and how far a picture was from the one made alone."""

    rates: list[float] = field(default_factory=list)
    apart: int = 0


@dataclass(frozen=True)
class Studio:
    """Makes what is wished for. `styles` are the names of the stored adapters."""

    client: intarsia.Client
    picture: str
    styles: Sequence[str]
    steps: int

    def make(self, wish: Wish) -> np.ndarray:
        """The picture, int16 (height, width, 3)."""
        edit, worn = wish.edit, self.styles[wish.style - 1 : wish.style] if wish.style else ()
        job = self.client.edit_region(
            self.picture,
            intarsia.rectangle(edit.left, edit.top, edit.left + edit.side, edit.top + edit.side),
            edit.instruction,
            seed=edit.seed,
            steps=self.steps,
            context=0,
            working_size=edit.side,
            adapters=dict.fromkeys(worn, STRENGTH),
        )
        return workload.pixels(self.client.read(job.result(timeout=300).picture)).astype(np.int16)


def mixes(counts: Iterable[int]) -> list[Mix]:
    """The base alone, and every number of adapters without and with it."""
    return [ALONE, *(Mix(count, base) for count in sorted(set(counts) - {0}) for base in (False, True))]


def wishes(mix: Mix, edits: Sequence[workload.Edit], clients: int, each: int, seed: str) -> list[list[Wish]]:
    """What every client asks for, one after the other."""
    dice = random.Random(f"{seed} {mix}")
    return [[Wish(dice.choice(edits), dice.choice(mix.styles)) for _ in range(each)] for _ in range(clients)]


def asked(
    make: Callable[[Wish], np.ndarray], wanted: Sequence[Sequence[Wish]]
) -> tuple[float, list[tuple[Wish, np.ndarray]]]:
    """Pictures per second of a closed loop of clients, and all they got."""

    def one(mine: Sequence[Wish]) -> list[tuple[Wish, np.ndarray]]:
        return [(wish, make(wish)) for wish in mine]

    started = time.perf_counter()
    with ThreadPoolExecutor(len(wanted)) as pool:
        made = [each for some in pool.map(one, wanted) for each in some]
    return len(made) / (time.perf_counter() - started), made


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(one - other).max())


def made_alone(
    make: Callable[[Wish], np.ndarray], edits: Sequence[workload.Edit], styles: int
) -> dict[Wish, np.ndarray]:
    """Every edit in every style with nobody beside it; adapters that change nothing would prove nothing."""
    alone = {Wish(edit, style): make(Wish(edit, style)) for edit in edits for style in range(styles + 1)}
    for wish, picture in alone.items():
        if wish.style != BASE and apart(picture, alone[Wish(wish.edit, BASE)]) <= 3 * APART:
            raise RuntimeError(f"adapter {wish.style} changes next to nothing of {wish.edit.instruction!r}")
    return alone


def figures(mix: Mix, measured: Measured, base: Measured) -> dict[str, Value]:
    """What a mix costs, as a line."""
    ratios = [a / b for a, b in zip(measured.rates, base.rates, strict=True)]
    return {
        "adapters": mix.adapters,
        "base": mix.base,
        "per_s_p50": median(measured.rates),
        "ratio_p50": median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
        "apart_of_255": measured.apart,
        "met": measured.apart <= APART,
    }


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--adapters", type=int, nargs="+", default=[0, 1, 2, 4, 8], help="numbers of them")
    made.add_argument("--clients", type=int, default=6)
    made.add_argument("--side", type=int, default=128, help="of the region, in pixels")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--each", type=int, default=4, help="pictures of each client in a round")
    made.add_argument("--steps", type=int, default=10)
    options = parsed(made, argv)
    bundle = Bundle.open(options.weights / "ip2p")
    origin = Origin.here(argv, module="benchmarks.adapters", threads=options.threads, weights=bundle.digest)
    asks = f"What do adapters cost? Pictures per second of {options.clients} clients, over the base alone"
    report = Report("adapters", asks, origin)
    edits = list(islice(workload.edits(WIDTH, HEIGHT, (options.side,), options.seed), EDITS))
    network, most = bundle.network("unet"), max(options.adapters)
    with stack(options, "adapters") as running, intarsia.Client(running.address) as client:
        files = (lora(network, options.seed + n, rank=RANK).numpy().tobytes() for n in range(most))
        styles = [client.upload(file).name for file in files]
        picture = client.upload(workload.png(workload.picture(WIDTH, HEIGHT, options.seed))).name
        studio = Studio(client, picture, styles, options.steps)
        alone = made_alone(studio.make, edits, most)
        measured = {mix: Measured() for mix in mixes(options.adapters)}
        for number in range(-1, options.rounds):
            # In turns, so that nothing profits from coming first.
            for mix in list(measured)[:: 1 if number % 2 else -1]:
                wanted = wishes(mix, edits, options.clients, options.each, f"{options.seed} {number}")
                rate, pictures = asked(studio.make, wanted)
                if number >= 0:  # the first round only warms up
                    measured[mix].rates.append(rate)
                differences = [apart(found, alone[wish]) for wish, found in pictures]
                measured[mix].apart = max(measured[mix].apart, *differences)
    for mix, one in measured.items():
        report.add(clients=options.clients, rounds=options.rounds, **figures(mix, one, measured[ALONE]))
    print(report.write(options.out))
    (options.out / "adapters.svg").write_text(plot(measured, options.clients, origin), encoding="utf-8")
    return 0 if verdicts(report.lines) or not options.strict else 1


def plot(measured: Mapping[Mix, Measured], clients: int, origin: Origin) -> str:
    """The median throughput against the number of adapters, as SVG."""
    names = {False: "one of them", True: "one of them or the base"}
    series = {
        told: [
            (mix.adapters, median(one.rates))
            for mix, one in measured.items()
            if mix.base == base or mix == ALONE
        ]
        for base, told in names.items()
    }
    return lines(
        "Pictures per second against the number of adapters",
        series,
        across=f"adapters that {clients} clients ask for by chance",
        up="pictures per second, median of the rounds",
        below=f"commit {origin.commit}, {origin.device}, {origin.cores} cores, load {origin.load:g}",
    )


if __name__ == "__main__":
    sys.exit(main())
