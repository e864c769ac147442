"""Inpainting in the step loop. The network sees noise, hole and masked picture, 4 + 1 + 4 channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from services.denoising.family import Branch
from services.denoising.noise import draw_noise
from services.refusal import invalid
from services.unet.family import UNetFamily
from services.unet.request import DenoiseArgs, finite, required


class Inpaint(UNetFamily):
    """A UNet trained to fill holes. `source` is the picture without what is in the hole."""

    own_inputs: ClassVar[Mapping[str, int]] = {"spread": 4, "hole": 1}
    condition_channels = 5
    draws = 1
    usual_steps = 30
    usual_guidance: ClassVar[Mapping[str, float]] = {"guidance": 5.0}
    # Masks are read coarsely: a hole is widened by so many pixels, so that a fine crack is not missed.
    usual_preparation: ClassVar[Mapping[str, int]] = {"margin": 4}

    def branches(self, args: DenoiseArgs, tensors: Mapping[str, Tensor]) -> Sequence[tuple[float, Branch]]:
        """Two branches, with the prompt and with the negative prompt.

        prediction = no_text + guidance * (text - no_text), written as weights of the two.

        The latents of the masked picture are sampled from its encoding with the second draw of the request's
        noise, as pipelines do.
        """
        hole = _hole(required("hole", tensors), args.source)
        (_, noise), _ = draw_noise(args.seed, [tuple(args.source.shape)] * (1 + self.draws))
        masked = args.source + _spread(tensors, args.source) * noise
        condition = torch.cat([hole, masked])
        (guidance,) = args.guidance
        return (
            (guidance, self.branch(args.text, condition)),
            (1.0 - guidance, self.branch(args.no_text, condition)),
        )


def _hole(tensor: Tensor, source: Tensor) -> Tensor:
    wanted = (1, *source.shape[1:])
    if tuple(tensor.shape) != wanted:
        raise invalid("hole", f"must be {wanted}, of source's size, not {tuple(tensor.shape)}")
    if not bool(((tensor == 0) | (tensor == 1)).all()):
        raise invalid("hole", "must hold 0 and 1 only: 1 is filled, 0 stays")
    return tensor.float()


def _spread(tensors: Mapping[str, Tensor], source: Tensor) -> Tensor:
    """The standard deviation of the masked picture's latents around `source`; absent, 0."""
    if "spread" not in tensors:
        return torch.zeros_like(source)
    spread = tensors["spread"]
    if spread.shape != source.shape:
        raise invalid(
            "spread", f"must be shaped like source, {tuple(source.shape)}, but is {tuple(spread.shape)}"
        )
    if not bool((spread >= 0).all()):  # not a number is not larger either
        raise invalid("spread", "must not be negative: it holds standard deviations")
    return finite("spread", spread)
