"""Edits by instruction: UNet of 8 channels and its text encoder, from nothing.

    python -m training.recipes.ip2p --minutes 75

Needs the autoencoder and the tokenizer. Five versions of a scene are encoded once; any ordered pair of
them is an edit, so a few thousand scenes give a hundred thousand edits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from training.recipes import denoiser
from training.recipes.array_cache import cached_arrays
from training.recipes.component import (
    earlier,
    read_tensors,
    read_vae,
    write_defaults,
    write_index,
    write_network,
    write_text_encoder,
)
from training.recipes.edit_measure import SOURCE_GUIDANCE, STEPS, TEXT_GUIDANCE, edit_figures
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.pixels import to_network
from training.recipes.tokenizer import token_ids
from training.recipes.training_loop import TrainingPlan, train_network
from training.world.address import Address
from training.world.edit import an_edit, some_versions

SCENES = 5000
BATCH = 24
_NO_TEXT, _NO_SOURCE = 0.10, 0.10  # of the batches lack their words, their picture; half of each lack both


class EditNetworks(nn.Module):
    """The two networks that learn together."""

    def __init__(self, tokenizer: CLIPTokenizer, scaling: float):
        super().__init__()
        self.unet = denoiser.unet(8)
        self.text_encoder = denoiser.text_encoder(tokenizer)
        with torch.no_grad():  # the source is given unscaled, so its channels start as much smaller
            self.unet.conv_in.weight[:, 4:] *= scaling


def latents_of(vae: AutoencoderKL, split: str, index: int) -> dict[str, np.ndarray]:
    """The latents of five versions of a scene, unscaled, float16 (5, 4, 16, 16)."""
    pictures = some_versions(Address(split, "edits", index)).pictures()
    x = to_network(np.stack([picture.pixels for picture in pictures])).to(vae.device)
    with torch.no_grad(), torch.autocast(vae.device.type, torch.bfloat16):
        return {"latents": vae.encode(x).latent_dist.mode().half().cpu().numpy()}


def edit_latents(vae: AutoencoderKL, options: RecipeOptions) -> np.ndarray:
    """The latents of all training scenes, float16 (scenes, 5, 4, 16, 16), unscaled."""
    count = int(SCENES * options.share)
    arrays = cached_arrays(options.training / "edits", count, lambda index: latents_of(vae, "train", index))
    return np.array(arrays["latents"])


class EditBatches:
    """Batches of edits; each is a function of the step."""

    def __init__(self, latents: np.ndarray, tokenizer: CLIPTokenizer, scaling: float):
        self.latents, self.scaling = latents, scaling
        self.things = [
            some_versions(Address("train", "edits", index)).things for index in range(len(latents))
        ]
        self.ids = lru_cache(maxsize=None)(lambda text: token_ids(tokenizer, text))

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Source (n, 4, 16, 16) unscaled, target (n, 4, 16, 16) scaled, words (n, 32)."""
        rng = Address("train", "edit lessons", step).rng()
        scenes = rng.integers(0, len(self.latents), BATCH)
        edits = [an_edit(rng, self.things[scene]) for scene in scenes]
        source = self.latents[scenes, [edit.source for edit in edits]].astype(np.float32)
        target = self.latents[scenes, [edit.target for edit in edits]].astype(np.float32)
        chance = rng.random(BATCH)
        silent, blind = chance < _NO_TEXT, (chance >= _NO_TEXT / 2) & (chance < _NO_TEXT / 2 + _NO_SOURCE)
        words = [
            self.ids("" if quiet else edit.instruction) for quiet, edit in zip(silent, edits, strict=True)
        ]
        source[blind] = 0
        return torch.from_numpy(source), torch.from_numpy(target) * self.scaling, torch.tensor(words)


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    folder = options.starter / "ip2p"
    vae = read_vae(folder / "vae").to(options.device)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scaling = vae.config.scaling_factor
    batches = EditBatches(edit_latents(vae, options), tokenizer, scaling)
    networks, schedule = EditNetworks(tokenizer, scaling), denoiser.scheduler()
    if options.warm:
        networks.unet.load_state_dict(read_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"))
        networks.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    networks.to(options.device)

    def loss_at(step: int, _: float) -> tuple[Tensor, dict[str, float]]:
        source, target, words = (part.to(options.device) for part in batches.batch(step))
        noisy, level, velocity = denoiser.noised(schedule, target, torch.Generator().manual_seed(step))
        with torch.autocast(options.device.type, torch.bfloat16):
            text = networks.text_encoder(words).last_hidden_state
            predicted = networks.unet(torch.cat([noisy, source], dim=1), level, text).sample
        # What changes is a small part of the picture, and all that the instruction is about.
        changes = ((target - source * scaling).abs().amax(1, keepdim=True) > 0.25).float()
        return denoiser.weighted(predicted - velocity, 1 + 2 * F.max_pool2d(changes, 3, 1, 1)), {}

    def validate(averaged: EditNetworks) -> Mapping[str, float]:
        pipeline = assemble(vae, averaged, tokenizer)
        return edit_figures(pipeline.to(options.device), "validation", 48)

    optimizer = optimizer_for(networks, matrix_rate=0.02, vector_rate=1e-3)
    plan = TrainingPlan(options.budget, flat=0.5, validate_every=12)
    averaged, record = train_network(options.training / "ip2p", networks, optimizer, loss_at, plan, validate)
    write(averaged, options, {**record, **earlier(folder / "unet", options.warm)})


def write(networks: EditNetworks, options: RecipeOptions, record: dict) -> None:
    folder = options.starter / "ip2p"
    write_network(networks.unet, folder / "unet", record)
    write_text_encoder(networks.text_encoder, folder / "text_encoder", record)
    denoiser.scheduler().save_pretrained(folder / "scheduler")
    write_index(folder, "StableDiffusionInstructPix2PixPipeline")
    write_defaults(folder, steps=STEPS, guidance=TEXT_GUIDANCE, picture_guidance=SOURCE_GUIDANCE)


def assemble(vae: AutoencoderKL, networks: EditNetworks, tokenizer: CLIPTokenizer):
    """The stock pipeline around the networks."""
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=networks.text_encoder,
        tokenizer=tokenizer,
        unet=networks.unet,
        scheduler=denoiser.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


if __name__ == "__main__":
    train(parse_options(__doc__, minutes=75))
