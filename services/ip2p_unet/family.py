"""InstructPix2Pix in the step loop. The network sees noise and source side by side, 4 + 4 channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle
from services.denoising.family import Branch
from services.unet.family import UNetFamily
from services.unet.request import DenoiseArgs


class InstructPix2Pix(UNetFamily):
    """A UNet trained to edit. Text and source are guided separately."""

    condition_channels = 4
    usual_steps = 20
    usual_guidance: ClassVar[Mapping[str, float]] = {"guidance": 7.5, "picture_guidance": 1.5}

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(bundle, device, dtype)
        # Latents come scaled; this network was trained beside unscaled sources. Older configs leave the scale
        # to the class they are for.
        vae: Any = build_on_meta("vae", bundle.config("vae"))
        self._scale: float = vae.config.scaling_factor

    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> Sequence[tuple[float, Branch]]:
        """Three branches: text and source, source alone, neither.

        prediction = neither + picture_guidance * (source - neither) + guidance * (both - source), written
        as weights of the three.
        """
        guidance, picture_guidance = args.guidance
        source = args.source / self._scale
        nothing = torch.zeros_like(source)
        return (
            (guidance, self.branch(args.text, source)),
            (picture_guidance - guidance, self.branch(args.no_text, source)),
            (1.0 - picture_guidance, self.branch(args.no_text, nothing)),
        )
