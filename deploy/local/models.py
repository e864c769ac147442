"""Which models to serve: all that there are weights for."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

MODELS = ("sam", "text_encoder", "vae", "ip2p_unet", "sd2_inpaint")

# What may be left out, and the weights it needs. Without the others the platform is of no use.
_SPARED = {"sd2_inpaint": ("sd2_inpaint/vae", "sd2_inpaint/text_encoder", "sd2_inpaint/unet")}


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
