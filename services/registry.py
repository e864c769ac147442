"""The denoisers that can be served: model, family and bundle. A new one is added here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from services.bundles.bundle import Bundle
from services.denoising.denoiser_family import DenoiserFamily
from services.ip2p_unet.family import InstructPix2Pix
from services.sd2_inpaint.family import Inpaint


@dataclass(frozen=True)
class Registration:
    """A denoiser by the name of its folder in the model repository."""

    family: Callable[[Bundle, torch.device, torch.dtype], DenoiserFamily]
    bundle: str  # the name of its folder of weights


FAMILIES: dict[str, Registration] = {
    "ip2p_unet": Registration(InstructPix2Pix, "ip2p"),
    "sd2_inpaint": Registration(Inpaint, "sd2_inpaint"),
}
