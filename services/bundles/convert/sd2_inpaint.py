"""Converts Stable Diffusion 2 inpainting as it was published: a checkpoint with an OpenCLIP text encoder."""

from __future__ import annotations

from pathlib import Path

import torch

from services.bundles.bundle import Bundle
from services.bundles.convert.checkpoint import tensors
from services.bundles.convert.latent_diffusion import bundle_of
from services.bundles.convert.open_clip import as_clip
from services.bundles.published_configs import SD2_INPAINT


def convert(
    checkpoint: Path,
    to: Path,
    *,
    tokenizer: Path,
    dtype: torch.dtype | None = None,
    config: Path = SD2_INPAINT,
) -> Bundle:
    """Convert a checkpoint into the bundle `to`; see `bundle_of`.

    A checkpoint with a CLIP text encoder, as those of Stable Diffusion 1 have, is read too, with the
    `config` of that encoder.
    """
    layers = Bundle.open(config).config("text_encoder")["num_hidden_layers"]
    stored = as_clip(tensors(checkpoint, inside="state_dict"), layers=layers)
    return bundle_of(stored, to, tokenizer=tokenizer, dtype=dtype, config=config)
