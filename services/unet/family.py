"""A UNet in the step loop: it sees noise and a condition side by side, and is steered by words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from services.adapters.file import Adapter, AdapterError, read
from services.bundles.bundle import Bundle, BundleError
from services.denoising.family import Branch, Request, Rows, needed_branches
from services.denoising.schedule import DIFFUSION, most_steps, name_of
from services.refusal import invalid
from services.unet.request import INPUTS, Defaults, DenoiseArgs, NetworkLimits, read_args


class UNetFamily(ABC):
    """A UNet with the facts of its bundle. A family adds what the network is asked."""

    inputs: ClassVar[tuple[str, ...]] = INPUTS
    condition_channels: ClassVar[int]  # set beside the latents
    draws: ClassVar[int] = 0  # of noise, that a condition takes from a request's dice
    # Where neither request nor bundle says: how many steps, and the numbers of `guidance` in their order.
    usual_steps: ClassVar[int]
    usual_guidance: ClassVar[Mapping[str, float]]
    # Numbers that whoever prepares a request wants to know, and the network does not.
    usual_preparation: ClassVar[Mapping[str, int]] = {}

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.scheduler_config = bundle.scheduler_config()
        unet, vae = bundle.config("unet"), bundle.config("vae")
        self._channels: int = unet["out_channels"]
        if unet["in_channels"] != self._channels + self.condition_channels:
            raise BundleError(
                f"bundle {bundle.name}: its UNet takes {unet['in_channels']} channels and gives "
                f"{self._channels}, but one that takes {self.condition_channels} beside those it gives is "
                "needed here; the weights are another model's"
            )
        self._dtype = dtype
        self.network = bundle.network("unet", device=device, dtype=dtype)
        self._digest = bundle.digest
        self._side: int = unet["sample_size"]
        self._factor = 2 ** (len(vae["block_out_channels"]) - 1)
        self._limits = NetworkLimits(
            channels=self._channels,
            text_width=unet["cross_attention_dim"],
            steps={name: most_steps(name, self.scheduler_config) for name in DIFFUSION},
        )
        own, values = name_of(self.scheduler_config), bundle.defaults
        self._preparation = {
            name: int(values.get(name, value)) for name, value in self.usual_preparation.items()
        }
        self._defaults = Defaults(
            steps=min(int(values.get("steps", self.usual_steps)), self._limits.steps[own]),
            guidance={name: float(values.get(name, value)) for name, value in self.usual_guidance.items()},
            scheduler=own,
        )

    @abstractmethod
    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> tuple[Branch, ...]:
        """What is asked at every step; reads and checks the inputs that are the family's own."""

    def request(self, tensors: Mapping[str, Tensor]) -> Request:
        """Checks a request's tensors and says what they ask for; raises Refusal."""
        args = read_args(tensors, self._limits, self._defaults)
        _, height, width = args.source.shape
        return Request(
            branches=needed_branches(self.branches(args, tensors)),
            latents=(self._channels, height, width),
            seed=args.seed,
            steps=args.steps,
            scheduler=args.scheduler,
            reproducible=args.reproducible,
            preview_every=args.preview_every,
            adapters=args.adapters,
            draws=self.draws,
        )

    def adapter(self, content: Tensor) -> Adapter:
        """Reads a file's bytes (UINT8) as an adapter of this network; raises Refusal."""
        try:
            return read(content, self.network, weights=self._digest)
        except AdapterError as problem:
            raise invalid("adapter", str(problem)) from problem

    def predict(self, rows: Rows) -> Tensor:
        """One forward pass, float32 (rows, channels, height, width)."""
        with torch.inference_mode():
            seen = torch.cat([rows.latents, rows.condition], dim=1).to(self._dtype)
            text = rows.text.to(self._dtype)
            return self.network(seen, rows.level, text, return_dict=False)[0].float()

    def sample(self, rows: int, side: int) -> Rows:
        """Questions of no meaning, for measuring what a pass costs."""
        return Rows(
            latents=torch.zeros(rows, self._channels, side, side, device=self.device),
            condition=torch.zeros(rows, self.condition_channels, side, side, device=self.device),
            level=torch.full((rows,), 500.0, device=self.device),
            text=torch.zeros(rows, 77, self._limits.text_width, device=self.device),
        )

    def sides(self) -> tuple[int, ...]:
        """Latent sides at which a pass is worth measuring: what the weights were made for and around it."""
        return (self._side // 2, self._side, self._side * 2, self._side * 4)

    def probe(self) -> Request:
        """One step over the smallest latents."""
        words, empty = torch.zeros(1, self._limits.text_width), torch.zeros(self.condition_channels, 8, 8)
        return Request((Branch(1.0, words, empty),), (self._channels, 8, 8), 0, 1, self._defaults.scheduler)

    def facts(self) -> dict[str, Any]:
        """What is loaded, and the sizes it was made for in pixels."""
        return {
            "weights": self._digest,
            "factor": self._factor,
            "size": self._side * self._factor,
            "multiple": self._factor,
            "defaults": {
                "steps": self._defaults.steps,
                **self._defaults.guidance,
                **self._preparation,
                "scheduler": self._defaults.scheduler,
            },
            "schedulers": sorted(DIFFUSION),
        }
