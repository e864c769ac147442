"""Does sharing steps pay? Clients in a closed loop against one engine, with sharing and one at a time.

    python -m benchmarks.step_sharing --clients 1 2 4 8 --sides 8 16 64

Every client requests a picture, waits for it, and requests the next. The two engines share the network, the
costs measured on it and the thread they step in, and take turns. A round's ratio is the pictures per second
of the sharing engine over those of the other. Time in which a step's threads waited for a processor because
of other programs is subtracted on both sides. Large sides are measured with the highest number of clients
only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, Value, median, percentile, verdicts
from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle
from services.denoising.costs import Costs, measure
from services.denoising.engine import Engine, EngineLimits
from services.denoising.family import Request
from services.denoising.memory_budget import memory_for_work
from services.denoising.stopwatch import timed
from services.ip2p_unet.family import InstructPix2Pix
from services.refusal import Refusal

SMALL = 16  # latent side up to which sharing must pay; beyond it, it must only not cost anything
PAYS, COSTS_NOTHING = 1.5, 0.97
MANY = 8  # clients needed for the first bar
TOKENS = 16


class ClosedLoopClient:
    """Requests pictures one after the other until there are no requests left."""

    def __init__(self, engine: Engine, requests: Iterator[Request]) -> None:
        self._engine, self._requests = engine, requests
        self.ask()

    def ask(self) -> None:
        """Sends the next request, if there is one."""
        request = next(self._requests, None)
        if request is not None:
            self._engine.admit(request, self)

    def gone(self) -> bool:
        """Waits for every picture."""
        return False

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        """Only the end counts."""

    def finish(self, latents: Tensor, steps: int) -> None:
        self.ask()

    def refuse(self, refusal: Refusal) -> None:
        raise RuntimeError(f"a benchmark's request was refused: {refusal}")


class RowsMeter:
    """A meter that keeps the rows of every pass."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def under_way(self, running: int, waiting: int) -> None:
        """Not asked here."""

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        self.rows.append(rows)

    def ended(self, how: str) -> None:
        """Every request finishes, else `refuse` is called."""


def pictures_per_second(engine: Engine, requests: list[Request], clients: int) -> float:
    """The rate of a closed loop, from the first request to the last picture."""
    waiting = iter(requests)
    for _ in range(clients):
        ClosedLoopClient(engine, waiting)
    seconds, going = 0.0, True

    def step() -> None:
        nonlocal going
        going = engine.step()

    while going:
        seconds += timed(step)
    return len(requests) / seconds


def requests_of(
    family: InstructPix2Pix, side: int, count: int, steps: int, seed: int, tokens: int = TOKENS
) -> list[Request]:
    """Edits of square latents with an instruction and both guidances: three rows per step each."""
    width = family.sample(1, 64)[0].inputs["text"].shape[1]
    rng = torch.Generator().manual_seed(seed)
    return [
        family.request(
            {
                "source": torch.randn(4, side, side, generator=rng),
                "text": torch.randn(tokens, width, generator=rng),
                "no_text": torch.randn(tokens, width, generator=rng),
                "seed": torch.tensor([seed + number]),
                "steps": torch.tensor([steps]),
                "guidance": torch.tensor([7.5, 1.5]),
            }
        )
        for number in range(count)
    ]


class EnginePair:
    """An engine that shares steps, and one limited to one request at a time."""

    def __init__(self, family: InstructPix2Pix, costs: Costs, memory: int) -> None:
        self._meter = RowsMeter()
        cache = AdapterCache(family.network, budget_bytes=0)
        self.engines = (
            Engine(family, costs, EngineLimits(memory=memory), self._meter, cache, family.passes),
            Engine(family, costs, EngineLimits(memory=memory, running=1), RowsMeter(), cache, family.passes),
        )

    def rows(self) -> dict[str, Value]:
        """The number of rows in the passes of the sharing engine."""
        return {"rows_p50": percentile(self._meter.rows, 0.5)}


def rates_of(
    engines: Sequence[Engine], work: list[Request], clients: int, *, rounds: int, left_out: int = 1
) -> tuple[list[float], list[float]]:
    """Pictures per second of two engines, by round; they alternate in going first.

    `left_out`: rounds before those that count.
    """
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(-left_out, rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            rate = pictures_per_second(engines[which], work, clients)
            if number >= 0:
                rates[which].append(rate)
    return rates


def compare(
    rates: list[float], others: list[float], bar: float, names: tuple[str, str] = ("shared", "alone")
) -> dict[str, Value]:
    """What one way gains over another, as figures; `names` are those of the two."""
    ratios = [a / b for a, b in zip(rates, others, strict=True)]
    return {
        f"{names[0]}_per_s": median(rates),
        f"{names[1]}_per_s": median(others),
        "ratio_p50": median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
        "bar": bar,
        "met": median(ratios) >= bar,
    }


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 64], help="sides of the latents")
    parser.add_argument("--rounds", type=int, default=5, help="at most three for large sides")
    parser.add_argument("--steps", type=int, default=2, help="steps of each picture; one for large sides")
    options = parse(parser, argv)
    torch.set_num_threads(options.threads)
    bundle = Bundle.open(options.weights / "ip2p")
    family = InstructPix2Pix(bundle, torch.device("cpu"), torch.float32)
    memory = memory_for_work(family.device)
    costs = measure(family, family.works(), budget_bytes=memory)
    for facts in costs.as_facts():
        print(facts, flush=True)
    origin = Origin.here(
        argv, module="benchmarks.step_sharing", threads=options.threads, weights=bundle.digest
    )
    asks = "Does sharing steps pay? Pictures per second of the engine, shared over one at a time"
    report = BenchmarkReport("step_sharing", asks, origin)
    for side in options.sides:
        large = side > SMALL
        for clients in options.clients if not large else [max(options.clients)]:
            work = requests_of(family, side, clients, 1 if large else options.steps, options.seed)
            rounds = min(options.rounds, 3) if large else options.rounds
            pair = EnginePair(family, costs, memory)
            rates = rates_of(pair.engines, work, clients, rounds=rounds)
            bar = PAYS if clients >= MANY and not large else COSTS_NOTHING
            report.add(
                side=side,
                clients=clients,
                rows_worth=costs.rows_for(side * side),
                **pair.rows(),
                **compare(*rates, bar),
            )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
