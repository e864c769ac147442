"""InstructPix2Pix in the step loop. The network sees noise and source side by side, 4 + 4 channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from services.denoising.family import Branch
from services.unet.family import UNetFamily
from services.unet.request import DenoiseArgs


class InstructPix2Pix(UNetFamily):
    """A UNet trained to edit. Text and source are guided separately."""

    condition_channels = 4
    usual_steps = 20
    usual_guidance: ClassVar[Mapping[str, float]] = {"guidance": 7.5, "picture_guidance": 1.5}

    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> Sequence[tuple[float, Branch]]:
        """Three branches: text and source, source alone, neither.

        prediction = neither + picture_guidance * (source - neither) + guidance * (both - source), written
        as weights of the three.
        """
        guidance, picture_guidance = args.guidance
        # Latents come as denoisers work on them; this network was trained beside sources as the VAE has them.
        source = self._space.denormalise(args.source)
        nothing = torch.zeros_like(source)
        return (
            (guidance, self.branch(args.text, source)),
            (picture_guidance - guidance, self.branch(args.no_text, source)),
            (1.0 - picture_guidance, self.branch(args.no_text, nothing)),
        )
