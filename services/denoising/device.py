"""What the step loop asks of the network's device."""

from __future__ import annotations

import torch


def wait_for(device: torch.device) -> None:
    """Blocks until the device has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
