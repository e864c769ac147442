"""Chooses the models to serve: all that have weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

MODELS = ("sam", "text_encoder", "vae", "ip2p_unet", "sd2_inpaint")

DENOISERS = ("ip2p_unet", "sd2_inpaint")
# The fraction of this machine's free memory that all step loops together may plan with.
_MEMORY_FRACTION = 0.6

# Models that may be missing, and the weights they need. All others are required.
_OPTIONAL = {"sd2_inpaint": ("sd2_inpaint/vae", "sd2_inpaint/text_encoder", "sd2_inpaint/unet")}


def memory_share(models: Sequence[str]) -> float:
    """The fraction of free memory that each of the denoisers among these models may plan with."""
    return _MEMORY_FRACTION / max(1, sum(model in DENOISERS for model in models))


def models_for(weights: Path) -> tuple[str, ...]:
    """The models that have weights in this folder. Logs which models are left out, and what they lack."""
    served = []
    for model in MODELS:
        missing = [part for part in _OPTIONAL.get(model, ()) if not (weights / part).is_dir()]
        if missing:
            log.warning("%s is not served: %s has no %s", model, weights, ", ".join(missing))
        else:
            served.append(model)
    return tuple(served)
