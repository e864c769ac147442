"""The device that is measured: its name, its arithmetic peak, and the operations of a forward pass."""

from __future__ import annotations

import re
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import processor

_PRODUCTS = 20  # after a few that warm up


def device_name(device: torch.device) -> str:
    """The name that the GPU gives itself; the processor's on a processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def file_name(name: str) -> str:
    """A device's name in the name of a file: `nvidia-h200`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def software(device: torch.device) -> str:
    """The versions that figures depend on."""
    cuda = f", CUDA {torch.version.cuda}" if device.type == "cuda" else ""
    return f"torch {torch.__version__}{cuda}"


def synchronise(device: torch.device) -> None:
    """Returns when the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations a second in a product of two large matrices: the most that arithmetic can reach here."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for number in range(-3, _PRODUCTS):
        synchronise(device)
        started = time.perf_counter()
        torch.matmul(left, right)
        synchronise(device)
        if number >= 0:
            best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def operations(network: Any, rows: int, side: int, tokens: int) -> int:
    """Floating point operations of one pass of a UNet, a multiplication and an addition counted as two."""
    config, weight = network.config, next(network.parameters())
    seen = torch.zeros(rows, config.in_channels, side, side, device=weight.device, dtype=weight.dtype)
    text = torch.zeros(rows, tokens, config.cross_attention_dim, device=weight.device, dtype=weight.dtype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(seen, torch.tensor(500.0, device=weight.device), text, return_dict=False)
    return counter.get_total_flops()
