"""Inpainting of Stable Diffusion 2 as it was published: a checkpoint with an OpenCLIP text encoder."""

from __future__ import annotations

from pathlib import Path

import torch

from services.weights.bundle import Bundle
from services.weights.convert.checkpoint import tensors
from services.weights.convert.latent_diffusion import bundle_of
from services.weights.convert.open_clip import as_clip
from services.weights.published import SD2_INPAINT


def convert(
    checkpoint: Path,
    to: Path,
    *,
    tokenizer: Path,
    dtype: torch.dtype | None = None,
    config: Path = SD2_INPAINT,
) -> Bundle:
    """Make the bundle `to` of a checkpoint; see `bundle_of`.

    One whose text encoder is a CLIP one, as those of Stable Diffusion 1 are, is read too, with a `config`
    that says so.
    """
    layers = Bundle.open(config).config("text_encoder")["num_hidden_layers"]
    stored = as_clip(tensors(checkpoint, inside="state_dict"), layers=layers)
    return bundle_of(stored, to, tokenizer=tokenizer, dtype=dtype, config=config)
