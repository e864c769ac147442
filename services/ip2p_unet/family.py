"""InstructPix2Pix in the step loop. The network sees noise and source side by side, 4 + 4 channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle
from services.denoising.family import Branch
from services.unet.family import UNetFamily
from services.unet.request import DenoiseArgs


class InstructPix2Pix(UNetFamily):
    """A UNet trained to edit. Words and source are steered separately."""

    condition_channels = 4
    usual_steps = 20
    usual_guidance: ClassVar[Mapping[str, float]] = {"guidance": 7.5, "picture_guidance": 1.5}

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(bundle, device, dtype)
        # Everyone else speaks scaled latents; this network was trained beside unscaled sources. Older configs
        # leave the scale to the class they are for.
        vae: Any = build_on_meta("vae", bundle.config("vae"))
        self._scale: float = vae.config.scaling_factor

    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> tuple[Branch, ...]:
        """Up to three questions a step: words and source, source alone, neither.

        estimate = neither + picture_guidance * (source - neither) + guidance * (both - source), written
        as weights of the three answers: any guidance value works, and a weight of zero drops a question.
        """
        guidance, picture_guidance = args.guidance
        source = args.source / self._scale
        nothing = torch.zeros_like(source)
        return (
            Branch(guidance, args.text, source),
            Branch(picture_guidance - guidance, args.no_text, source),
            Branch(1.0 - picture_guidance, args.no_text, nothing),
        )
