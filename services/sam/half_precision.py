"""Half precision: where SAM 2 computes in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)  # autocast computes these in bfloat16


def is_used_on(device: torch.device) -> bool:
    """True if clips are tracked and pictures embedded in bfloat16 there: on GPUs, as sam2 recommends."""
    return device.type == "cuda"


def autocast(device: torch.device) -> torch.autocast:
    """A context in which SAM 2 computes in bfloat16 if that is used on the device."""
    # Without autocast's cache of weights, which must not outlive the capture of a graph.
    return torch.autocast(device.type, torch.bfloat16, enabled=is_used_on(device), cache_enabled=False)


def halve_weights(network: Any) -> None:
    """Converts layers of SAM 2 that only ever run under autocast to bfloat16.

    Results have the same bits: autocast would round the same weights before every use. The mask decoder stays
    as it is, since stills are decoded in float32.
    """
    for part in (network.image_encoder, network.memory_attention, network.memory_encoder):
        for layer in part.modules():
            if isinstance(layer, _LAYERS):
                layer.to(torch.bfloat16)
