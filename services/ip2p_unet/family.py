"""InstructPix2Pix in the step loop. The network sees noise and source side by side, 4 + 4 channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from services.denoising.family import Branch, Request, Rows, worth_asking
from services.denoising.scheduler import CLASSES, most_steps, name_of
from services.ip2p_unet.asked import Defaults, Limits, asked
from services.weights.bundle import Bundle

_DEFAULTS = {"steps": 20, "guidance": 7.5, "picture_guidance": 1.5}


class InstructPix2Pix:
    """A UNet trained to edit, with the facts of its bundle."""

    inputs = (
        "source",
        "text",
        "no_text",
        "seed",
        "steps",
        "guidance",
        "scheduler",
        "reproducible",
        "preview_every",
    )

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.scheduler_config = bundle.scheduler_config()
        self._dtype = dtype
        self._unet = bundle.network("unet", device=device, dtype=dtype)
        self._digest = bundle.digest
        unet, vae = bundle.config("unet"), bundle.config("vae")
        self._channels: int = unet["out_channels"]
        self._side: int = unet["sample_size"]
        self._factor = 2 ** (len(vae["block_out_channels"]) - 1)
        # Everyone else speaks scaled latents; this network was trained beside unscaled sources.
        self._scale: float = vae["scaling_factor"]
        self._limits = Limits(
            channels=self._channels,
            text_width=unet["cross_attention_dim"],
            steps={name: most_steps(name, self.scheduler_config) for name in CLASSES},
        )
        values = {**_DEFAULTS, **bundle.defaults}
        own = name_of(self.scheduler_config)
        self._defaults = Defaults(
            steps=min(int(values["steps"]), self._limits.steps[own]),
            guidance=float(values["guidance"]),
            picture_guidance=float(values["picture_guidance"]),
            scheduler=own,
        )

    def request(self, tensors: Mapping[str, Tensor]) -> Request:
        """Words and source are steered separately, so each step asks up to three questions.

        estimate = neither + picture_guidance * (source - neither) + guidance * (both - source), written
        as weights of the three answers: any guidance value works, and a weight of zero drops a question.
        """
        want = asked(tensors, self._limits, self._defaults)
        source = want.source / self._scale
        nothing = torch.zeros_like(source)
        branches = (
            Branch(want.guidance, want.text, source),
            Branch(want.picture_guidance - want.guidance, want.no_text, source),
            Branch(1.0 - want.picture_guidance, want.no_text, nothing),
        )
        return Request(
            branches=worth_asking(branches),
            latents=(self._channels, source.shape[1], source.shape[2]),
            seed=want.seed,
            steps=want.steps,
            scheduler=want.scheduler,
            reproducible=want.reproducible,
            preview_every=want.preview_every,
        )

    def predict(self, rows: Rows) -> Tensor:
        """One forward pass, float32 (rows, channels, height, width)."""
        with torch.inference_mode():
            seen = torch.cat([rows.latents, rows.condition], dim=1).to(self._dtype)
            text = rows.text.to(self._dtype)
            return self._unet(seen, rows.level, text, return_dict=False)[0].float()

    def sample(self, rows: int, side: int) -> Rows:
        """Questions of no meaning, for measuring what a pass costs."""
        latents = torch.zeros(rows, self._channels, side, side, device=self.device)
        text = torch.zeros(rows, 77, self._limits.text_width, device=self.device)
        level = torch.full((rows,), 500.0, device=self.device)
        return Rows(latents=latents, condition=latents, level=level, text=text)

    def sides(self) -> tuple[int, ...]:
        """Latent sides at which a pass is worth measuring: what the weights were made for and around it."""
        return (self._side // 2, self._side, self._side * 2, self._side * 4)

    def probe(self) -> Request:
        """One step over the smallest latents."""
        empty = torch.zeros(self._channels, 8, 8)
        words = torch.zeros(1, self._limits.text_width)
        return Request((Branch(1.0, words, empty),), (self._channels, 8, 8), 0, 1, self._defaults.scheduler)

    def facts(self) -> dict[str, Any]:
        """What is loaded, and the sizes it was made for in pixels."""
        return {
            "weights": self._digest,
            "factor": self._factor,
            "size": self._side * self._factor,
            "multiple": self._factor,
            "defaults": vars(self._defaults),
            "schedulers": sorted(CLASSES),
        }
