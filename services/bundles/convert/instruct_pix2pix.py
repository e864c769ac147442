"""Converts InstructPix2Pix as it was published: a checkpoint of the latent diffusion code."""

from __future__ import annotations

from pathlib import Path

import torch

from services.bundles.bundle import Bundle
from services.bundles.convert.checkpoint import tensors
from services.bundles.convert.latent_diffusion import bundle_of
from services.bundles.published_configs import IP2P


def convert(
    checkpoint: Path, to: Path, *, tokenizer: Path, dtype: torch.dtype | None = None, config: Path = IP2P
) -> Bundle:
    """Convert a checkpoint into the bundle `to`; see `bundle_of`."""
    stored = tensors(checkpoint, inside="state_dict")
    return bundle_of(stored, to, tokenizer=tokenizer, dtype=dtype, config=config)
