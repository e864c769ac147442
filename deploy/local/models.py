"""Which models to serve: all that there are weights for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

MODELS = ("sam", "text_encoder", "vae", "ip2p_unet", "sd2_inpaint")

DENOISERS = ("ip2p_unet", "sd2_inpaint")
# Of the memory that is free on this machine, what step loops may plan with together.
_FOR_WORK = 0.6

# What may be left out, and the weights it needs. Without the others the platform is of no use.
_SPARED = {"sd2_inpaint": ("sd2_inpaint/vae", "sd2_inpaint/text_encoder", "sd2_inpaint/unet")}


def memory_share(models: Sequence[str]) -> float:
    """What each of the denoisers among these models may plan with, as a share of what is free."""
    return _FOR_WORK / max(1, sum(model in DENOISERS for model in models))


def models_for(weights: Path) -> tuple[str, ...]:
    """The models that these weights serve. What is left out is said, with what is missing for it."""
    served = []
    for model in MODELS:
        missing = [part for part in _SPARED.get(model, ()) if not (weights / part).is_dir()]
        if missing:
            log.warning("%s is not served: %s has no %s", model, weights, ", ".join(missing))
        else:
            served.append(model)
    return tuple(served)
