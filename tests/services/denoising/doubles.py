"""Stand-ins for the network, the subscriber and the meter of a step loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.acceleration.passes import EagerPasses, Passes
from services.adapters.cache import AdapterCache, AdapterUse
from services.denoising.costs import Costs, Measured
from services.denoising.engine import Engine, EngineLimits
from services.denoising.family import BatchRow, Branch, Request
from services.denoising.guide import WeightedSum
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import DIFFUSION, factories
from services.refusal import Refusal

SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(eq=False)
class Pass:
    """The rows of a forward pass, stacked."""

    latents: Tensor
    condition: Tensor
    level: Tensor
    text: Tensor


class Sketch:
    """A network of one convolution over latents, condition, level and words; remembers its passes."""

    device = torch.device("cpu")
    schedules = factories(DIFFUSION, SCHEDULER)

    def __init__(self) -> None:
        mix = torch.Generator().manual_seed(5)
        self.network = torch.nn.Conv2d(8, 4, 3, padding=1, bias=False).requires_grad_(False)
        self.network.weight.copy_(torch.randn(4, 8, 3, 3, generator=mix) * 0.1)
        self.passes: list[Pass] = []
        self.fails_at = -1

    def begin(self, request: Request) -> None:
        """Keeps nothing."""

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        stacked = Pass(
            latents=torch.stack([row.latents for row in rows]),
            condition=torch.stack([row.inputs["condition"] for row in rows]),
            level=torch.stack([row.timestep for row in rows]),
            text=torch.stack([row.inputs["text"] for row in rows]),
        )
        self.passes.append(stacked)
        if len(self.passes) == self.fails_at:
            raise RuntimeError("the network fell over")
        seen = torch.cat([stacked.latents, stacked.condition], dim=1)
        answer = self.network(seen)
        words = stacked.text.mean(dim=(1, 2)) + stacked.level / 1000
        return torch.tanh(answer + words[:, None, None, None])

    def sample(self, rows: int, work: int) -> list[BatchRow]:
        side = int(work**0.5)
        branch = a_branch(torch.zeros(3, 2), torch.zeros(4, side, side))
        empty = torch.zeros(4, side, side)
        return [BatchRow(branch.inputs, branch.key, empty, torch.tensor(500.0)) for _ in range(rows)]


class Listener:
    """A subscriber that writes down what it is told."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, int]] = []
        self.previews: list[Tensor] = []
        self.checkpoints: list[Tensor] = []
        self.latents: Tensor | None = None
        self.refusal: Refusal | None = None
        self.left = False

    def gone(self) -> bool:
        return self.left

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        self.reported.append((done, of))
        if preview is not None:
            self.previews.append(preview)
        if checkpoint is not None:
            self.checkpoints.append(checkpoint)

    def finish(self, latents: Tensor, steps: int) -> None:
        self.latents = latents

    def refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal


class Notes:
    """A meter that keeps every figure."""

    def __init__(self) -> None:
        self.levels: list[tuple[int, int]] = []
        self.passes: list[tuple[int, int]] = []
        self.ends: list[str] = []

    def under_way(self, running: int, waiting: int) -> None:
        self.levels.append((running, waiting))

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        self.passes.append((rows, trajectories))

    def ended(self, how: str) -> None:
        self.ends.append(how)


def a_branch(text: Tensor, condition: Tensor) -> Branch:
    """A branch of a sketch."""
    return Branch({"text": text, "condition": condition}, tuple(condition.shape), condition[0].numel())


def request(
    seed: int = 1,
    *,
    steps: int = 4,
    side: int = 4,
    branches: int = 2,
    scheduler: str = "ddim",
    reproducible: bool = False,
    preview_every: int = 0,
    adapters: tuple[AdapterUse, ...] = (),
) -> Request:
    """A request whose words and source follow from its seed."""
    drawn = torch.Generator().manual_seed(seed + 1000)
    return Request(
        branches=tuple(
            a_branch(torch.randn(3, 2, generator=drawn), torch.randn(4, side, side, generator=drawn))
            for _ in range(branches)
        ),
        guide=WeightedSum((1.0 / branches,) * branches),
        latents=(4, side, side),
        seed=seed,
        schedule=ScheduleSpec(scheduler, steps),
        size=f"source of {side} x {side} latents",
        reproducible=reproducible,
        preview_every=preview_every,
        adapters=adapters,
    )


def engine(
    family: Sketch | None = None,
    *,
    best_rows: int = 24,
    memory: int = 1 << 30,
    running: int = 64,
    waiting: int = 256,
    step_seconds: float = 1e9,
    meter: Notes | None = None,
    adapters: AdapterCache | None = None,
    clock=None,
    passes: Passes | None = None,
    graphs: int = 0,
) -> Engine:
    """A loop over a sketch; sharing pays up to `best_rows` rows, whatever passes take."""
    seconds = {rows: 1.0 + 0.001 * rows for rows in range(1, best_rows + 1)}
    costs = Costs((Measured(16, seconds, 1 << 20),), learning=False)
    clock_given = {} if clock is None else {"clock": clock}
    limits = EngineLimits(
        memory=memory, graphs=graphs, running=running, waiting=waiting, step_seconds=step_seconds
    )
    family = family or Sketch()
    adapters = adapters or AdapterCache(family.network, 1 << 20)
    passes = passes or EagerPasses(family.network)
    return Engine(family, costs, limits, meter or Notes(), adapters, passes, **clock_given)


def run_to_the_end(loop: Engine) -> None:
    """Steps until nothing is left to do."""
    while loop.step():
        pass


class Tint:
    """An adapter of a sketch: a convolution of its own beside the sketch's."""

    def __init__(self, letter: str, nbytes: int = 100) -> None:
        self.key, self.nbytes, self.report = letter * 64, nbytes, {"key": letter * 64}
        kernel = torch.randn(4, 8, 3, 3, generator=torch.Generator().manual_seed(ord(letter))) * 0.1
        self.deltas = {"": [lambda _, seen: torch.nn.functional.conv2d(seen, kernel, padding=1)]}

    def use(self, strength: float = 1.0) -> AdapterUse:
        return AdapterUse(self.key, strength)
