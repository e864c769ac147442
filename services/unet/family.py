"""A UNet in the step loop: it sees noise beside a condition on further channels, and is steered by text."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from services.acceleration.passes import REPRODUCIBLE_PATH, passes_for
from services.adapters.file import Adapter, AdapterError, read
from services.bundles.bundle import Bundle, BundleError
from services.bundles.latent_space import latent_space_of
from services.denoising.checkpoint import identity_of
from services.denoising.costs import Costs
from services.denoising.family import BatchRow, Branch, Request, Restorable
from services.denoising.guide import weighted_sum
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import DIFFUSION, factories, most_steps, name_of
from services.refusal import invalid
from services.unet.cost import read_cost_question
from services.unet.request import INPUTS, LARGEST_GUIDANCE, Defaults, DenoiseArgs, NetworkLimits, read_args


class UNetFamily(ABC):
    """A UNet with the facts of its bundle. A family adds its branches."""

    inputs: ClassVar[tuple[str, ...]]
    own_inputs: ClassVar[Mapping[str, int]] = {}  # beside those of all UNets: channels, by name
    condition_channels: ClassVar[int]  # beside the latents
    draws: ClassVar[int] = 0  # of noise, that a condition takes from the request's generator
    # Where neither request nor bundle says: the steps, and the numbers of `guidance` in their order.
    usual_steps: ClassVar[int]
    usual_guidance: ClassVar[Mapping[str, float]]
    # Numbers for the preparation of a request, which the network does not need.
    usual_preparation: ClassVar[Mapping[str, int]] = {}

    def __init_subclass__(cls) -> None:
        cls.inputs = (*INPUTS, *cls.own_inputs)

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        config = bundle.scheduler_config()
        unet, self._space = bundle.config("unet"), latent_space_of(bundle)
        self._channels: int = unet["out_channels"]
        if unet["in_channels"] != self._channels + self.condition_channels:
            raise BundleError(
                f"bundle {bundle.name}: its UNet takes {unet['in_channels']} channels and gives "
                f"{self._channels}, but one that takes {self.condition_channels} beside those it gives is "
                "needed here; the weights are another model's"
            )
        self.schedules = factories(DIFFUSION, config)
        self._dtype = dtype
        self.network = bundle.network("unet", device=device, dtype=dtype)
        self.passes = passes_for(self.network, device, call_unet)
        self._digest = bundle.digest
        self._licences = bundle.licences
        self._side: int = unet["sample_size"]
        self._limits = NetworkLimits(
            channels=self._channels,
            text_width=unet["cross_attention_dim"],
            steps={name: most_steps(name, config) for name in self.schedules},
        )
        own, values = name_of(config), bundle.defaults
        self._preparation = {
            name: int(values.get(name, value)) for name, value in self.usual_preparation.items()
        }
        self._sizes, self._removal = bundle.sizes, bundle.removal
        self._defaults = Defaults(
            steps=min(int(values.get("steps", self.usual_steps)), self._limits.steps[own]),
            guidance={name: float(values.get(name, value)) for name, value in self.usual_guidance.items()},
            scheduler=own,
        )

    @abstractmethod
    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> Sequence[tuple[float, Branch]]:
        """The branches of a request with their weights; reads and checks the family's own inputs."""

    def request(self, tensors: Mapping[str, Tensor]) -> Request:
        """Checks a request's tensors; raises Refusal naming the one that is wrong."""
        args = read_args(tensors, self._limits, self._defaults)
        branches, guide = weighted_sum(self.branches(args, tensors))
        latents = (self._channels, *args.source.shape[1:])
        return Request(
            branches=branches,
            guide=guide,
            latents=latents,
            seed=args.seed,
            schedule=ScheduleSpec(args.scheduler, args.steps),
            size=f"source of {latents[2]} x {latents[1]} latents",
            reproducible=args.reproducible,
            preview_every=args.preview_every,
            adapters=args.adapters,
            draws=(latents,) * (1 + self.draws),
            checkpoint_every=args.checkpoint_every,
            checkpoint=args.checkpoint,
            identity=self._identity(args, tensors),
        )

    def adapter(self, content: Tensor) -> Adapter:
        """Reads a file's bytes (UINT8) as an adapter of this network; raises Refusal."""
        try:
            return read(content, self.network, weights=self._digest)
        except AdapterError as problem:
            raise invalid("adapter", str(problem)) from problem

    def begin(self, request: Request) -> Restorable | None:
        """None: nothing is kept between steps."""
        return None

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        """One forward pass, float32 (rows, channels, height, width).

        In inference mode, which saves a twentieth of a small network's time over `no_grad`.
        """
        with torch.inference_mode():
            latents = torch.stack([row.latents for row in rows])
            condition = torch.stack([row.inputs["condition"] for row in rows])
            text = torch.stack([row.inputs["text"] for row in rows]).to(self._dtype)
            timesteps = torch.stack([row.timestep for row in rows])
            seen = torch.cat([latents, condition], dim=1).to(self._dtype)
            predictions = self.passes(seen, timesteps, text, eager=rows[0].eager)
        return predictions.clone()  # outside: hooks may follow gradients from what is made of them

    def sample(self, rows: int, work: int) -> list[BatchRow]:
        """Rows without meaning over about as many latents, for measuring what a pass costs."""
        side = math.isqrt(work)
        text = torch.zeros(77, self._limits.text_width, device=self.device)
        branch = self.branch(text, torch.zeros(self.condition_channels, side, side, device=self.device))
        latents = torch.zeros(self._channels, side, side, device=self.device)
        timestep = torch.tensor(500.0, device=self.device)
        return [BatchRow(branch.inputs, branch.key, latents, timestep) for _ in range(rows)]

    def branch(self, text: Tensor, condition: Tensor) -> Branch:
        """A branch with this text, and this condition beside the latents."""
        _, height, width = condition.shape
        key = (height, width, len(text))
        return Branch({"text": text, "condition": condition}, key, height * width)

    def works(self) -> tuple[int, ...]:
        """Work of a row at which passes are measured: what the weights were made for, and around it."""
        return tuple(side * side for side in (self._side // 2, self._side, self._side * 2, self._side * 4))

    def probe(self) -> Request:
        """One step over the smallest latents."""
        text, condition = torch.zeros(1, self._limits.text_width), torch.zeros(self.condition_channels, 8, 8)
        branches, guide = weighted_sum([(1.0, self.branch(text, condition))])
        schedule = ScheduleSpec(self._defaults.scheduler, 1)
        return Request(branches, guide, (self._channels, 8, 8), 0, schedule, size="a probe")

    def typical(self) -> Request:
        """A request of the size that the weights were made for, with the bundle's defaults."""
        text = torch.zeros(77, self._limits.text_width)
        channels = {"source": self._channels, **self.own_inputs}
        sheet = {name: torch.ones(own, self._side, self._side) for name, own in channels.items()}
        seed = torch.zeros(1, dtype=torch.uint64)
        return self.request({**sheet, "text": text, "no_text": text + 1, "seed": seed})

    def cost(self, tensors: Mapping[str, Tensor], costs: Costs) -> dict[str, Any]:
        """The answer to `ask` = "cost", from the branches and costs that the step loop uses."""
        question = read_cost_question(tensors, self._limits, self._defaults)
        text = torch.zeros(1, self._limits.text_width)
        args = DenoiseArgs(
            source=torch.ones(self._channels, 1, 1),
            text=text,
            no_text=text if question.equal_prompts else text + 1,
            seed=0,
            steps=question.steps,
            guidance=question.guidance,
            scheduler=question.scheduler,
        )
        own = {name: torch.zeros(channels, 1, 1) for name, channels in self.own_inputs.items()}
        branches, _ = weighted_sum(self.branches(args, own))
        schedule = self.schedules[question.scheduler](ScheduleSpec(question.scheduler, question.steps))
        a_step = sum(costs.seconds_for(len(branches), height * width) for height, width in question.sheets)
        seconds = a_step * len(schedule.timesteps) * question.candidates
        return {"evaluations": len(branches), "seconds": round(seconds, 3)}

    def _identity(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> str:
        """The digest that a checkpoint of the request must have; empty where it has none."""
        if not args.checkpoint_every and args.checkpoint is None:
            return ""
        adapters = [[use.key, use.strength] for use in args.adapters]
        path = REPRODUCIBLE_PATH if args.reproducible else ""
        settings = [args.seed, args.steps, args.guidance, args.scheduler, path, adapters]
        names = ("source", "text", "no_text", *self.own_inputs)
        inputs = {name: tensors[name] for name in names if name in tensors}
        return identity_of(self._digest, settings, inputs)

    def facts(self) -> dict[str, Any]:
        """Facts about the loaded network; sizes in pixels."""
        return {
            "weights": self._digest,
            "licences": self._licences,
            "path": REPRODUCIBLE_PATH,
            "factor": self._space.factor,
            "size": self._side * self._space.factor,
            "multiple": self._space.factor,
            "sizes": sorted(self._sizes),
            "defaults": {"steps": self._defaults.steps, "scheduler": self._defaults.scheduler},
            "schedulers": sorted(self.schedules),
            "most_steps": dict(self._limits.steps),
            "guidance": {
                name: {"default": value, "least": 0.0, "most": LARGEST_GUIDANCE}
                for name, value in self._defaults.guidance.items()
            },
            "preparation": self._preparation,
            "removal": self._removal,
        }


def call_unet(network: nn.Module, seen: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
    """The predictions of a UNet, float32."""
    return network(seen, timesteps, text, return_dict=False)[0].float()
