"""A family with a step loop around it, measured and ready to be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle
from services.denoising.costs import measure
from services.denoising.engine import Engine, EngineLimits, Meter
from services.denoising.memory_budget import SHARE, memory_for_work
from services.unet.family import UNetFamily

_FOR_ADAPTERS = 0.25  # of what there is for work, and beside it


@dataclass(frozen=True)
class Served:
    """The family and the loop it steps in."""

    family: UNetFamily
    engine: Engine


def serve_family(
    kind: Callable[[Bundle, torch.device, torch.dtype], UNetFamily],
    bundle: Bundle,
    device: torch.device,
    dtype: torch.dtype,
    meter: Meter,
    *,
    running: int | None = None,
    share: float = SHARE,
) -> Served:
    """Loads the network and measures what sharing a pass costs on this machine.

    At most `running` requests step in turn, the others wait; None for the engine's own limit. `share`: how
    much of what is free beside the weights they may take together.
    """
    family = kind(bundle, device, dtype)
    memory = memory_for_work(device, share)
    adapters = AdapterCache(family.network, memory_for_work(device, share * _FOR_ADAPTERS))
    costs = measure(family, family.works(), budget_bytes=memory)
    limits = EngineLimits(memory=memory, running=running or EngineLimits.running)
    return Served(family, Engine(family, costs, limits, meter, adapters))
