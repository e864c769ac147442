"""Filling holes, with and without words: UNet of 9 channels, warm from the editor.

    python -m training.recipes.sd2_inpaint --minutes 30

Needs the autoencoder, the tokenizer and the finished edits. Without words (or with "background") a hole is
filled with what is behind; with a phrase, with the thing it names.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, UNet2DConditionModel
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
from training.recipes.fill_measure import fill_figures
from training.recipes.ip2p import edit_latents
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.pixels import to_network
from training.recipes.tokenizer import token_ids
from training.recipes.training_loop import TrainingPlan, train_network
from training.world.address import Address
from training.world.edit import GONE, some_versions
from training.world.hole import a_hole, around, roomy
from training.world.phrase import phrases

SCENES = 4000
BATCH = 24
_BEHIND = ("", "background", "the background")
_KINDS = ("thing away", "somewhere", "thing here")


class InpaintNetworks(nn.Module):
    """The two networks of the ip2p bundle, with a mask channel between noise and picture."""

    def __init__(self, editor: UNet2DConditionModel, text_encoder: CLIPTextModel, scaling: float):
        super().__init__()
        self.unet, self.text_encoder = denoiser.unet(9), text_encoder
        state = editor.state_dict()
        weights = state["conv_in.weight"]
        widened = weights.new_zeros(weights.shape[0], 9, *weights.shape[2:])
        widened[:, :4] = weights[:, :4]
        # This pipeline scales the latents of the picture, the editor's does not.
        widened[:, 5:] = weights[:, 4:] / scaling
        self.unet.load_state_dict({**state, "conv_in.weight": widened})


def holes(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Three holes (3, h, w) in one scene and the pictures they are cut into (3, h, w, 3).

    One where a thing is removed, one anywhere, one where a thing is to be drawn.
    """
    versions = some_versions(Address(split, "edits", index))
    rng = versions.address.rng("holes")
    pictures = versions.pictures()
    here, gone = pictures[0], pictures[GONE]
    cut = (around(here.masks[-1]), a_hole(rng), roomy(rng, here.masks[-1]))
    return np.stack(cut), np.stack([here.pixels, gone.pixels, here.pixels])


def hole_row(vae: AutoencoderKL, split: str, index: int) -> dict[str, np.ndarray]:
    """Latents of the three pictures with their holes greyed (3, 4, 16, 16), unscaled, and small holes."""
    cut, pixels = holes(split, index)
    x = to_network(pixels) * torch.from_numpy(~cut)[:, None].float()
    with torch.no_grad(), torch.autocast(vae.device.type, torch.bfloat16):
        latents = vae.encode(x.to(vae.device)).latent_dist.mode().half().cpu().numpy()
    # As the pipeline does it: the nearest pixel, not the mean.
    small = F.interpolate(torch.from_numpy(cut)[:, None].float(), size=latents.shape[-2:])
    return {"masked": latents, "holes": small.bool().numpy()}


class HoleBatches:
    """Batches of holes; each is a function of the step."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], clean: np.ndarray, tokenizer: CLIPTokenizer, scaling: float
    ):
        self.masked, self.holes = np.array(arrays["masked"]), np.array(arrays["holes"])
        self.clean, self.scaling = clean, scaling
        self.things = [
            some_versions(Address("train", "edits", index)).things for index in range(len(self.masked))
        ]
        self.ids = lru_cache(maxsize=None)(lambda text: token_ids(tokenizer, text))

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Target and masked latents (n, 4, 16, 16) scaled, holes (n, 1, 16, 16), words (n, 32)."""
        rng = Address("train", "hole lessons", step).rng()
        scenes, kinds = rng.integers(0, len(self.masked), BATCH), rng.integers(0, len(_KINDS), BATCH)
        target = self.clean[scenes, np.where(kinds == 2, 0, GONE)].astype(np.float32)
        words = [self._words(rng, scene, kind) for scene, kind in zip(scenes, kinds, strict=True)]
        masked = self.masked[scenes, kinds].astype(np.float32)
        hole = torch.from_numpy(self.holes[scenes, kinds]).float()
        scaled = (torch.from_numpy(latents) * self.scaling for latents in (target, masked))
        return (*scaled, hole, torch.tensor([self.ids(text) for text in words]))

    def _words(self, rng: np.random.Generator, scene: int, kind: int) -> str:
        if kind != 2:
            return _BEHIND[rng.integers(len(_BEHIND))]
        named = phrases(self.things[scene][0])
        return named[rng.integers(len(named))]


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    editor, folder = options.starter / "ip2p", options.starter / "sd2_inpaint"
    shutil.copytree(editor / "vae", folder / "vae", dirs_exist_ok=True)
    shutil.copytree(editor / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    vae = read_vae(folder / "vae").to(options.device)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scaling, count = vae.config.scaling_factor, int(SCENES * options.share)
    clean = edit_latents(vae, options)
    arrays = cached_arrays(options.training / "holes", count, lambda index: hole_row(vae, "train", index))
    batches = HoleBatches(arrays, clean[:count], tokenizer, scaling)
    warm = UNet2DConditionModel.from_pretrained(editor / "unet", dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(editor / "text_encoder", dtype=torch.float32)
    networks, schedule = InpaintNetworks(warm, text_encoder, scaling), denoiser.scheduler()
    if options.warm:
        networks.unet.load_state_dict(read_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"))
        networks.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    networks.to(options.device)

    def loss_at(step: int, _: float) -> tuple[Tensor, dict[str, float]]:
        target, masked, hole, words = (part.to(options.device) for part in batches.batch(step))
        noisy, level, velocity = denoiser.noised(schedule, target, torch.Generator().manual_seed(step))
        with torch.autocast(options.device.type, torch.bfloat16):
            text = networks.text_encoder(words).last_hidden_state
            predicted = networks.unet(torch.cat([noisy, hole, masked], dim=1), level, text).sample
        return denoiser.weighted(predicted - velocity, 0.3 + 2 * F.max_pool2d(hole, 3, 1, 1)), {}

    def validate(averaged: InpaintNetworks) -> Mapping[str, float]:
        return fill_figures(assemble(vae, averaged, tokenizer).to(options.device), "validation", 64)

    optimizer = optimizer_for(networks, matrix_rate=0.015, vector_rate=6e-4)
    # A warm start has its flat part behind it.
    plan = TrainingPlan(options.budget, flat=0.1 if options.warm else 0.4, validate_every=5)
    averaged, record = train_network(
        options.training / "sd2_inpaint", networks, optimizer, loss_at, plan, validate
    )
    write(averaged, options, {**record, **earlier(folder / "unet", options.warm)})


def write(networks: InpaintNetworks, options: RecipeOptions, record: dict) -> None:
    folder = options.starter / "sd2_inpaint"
    write_network(networks.unet, folder / "unet", record)
    write_text_encoder(networks.text_encoder, folder / "text_encoder", record)
    denoiser.scheduler().save_pretrained(folder / "scheduler")
    write_index(folder, "StableDiffusionInpaintPipeline")
    # Few steps: the background has one answer, and more steps only add texture. The words need no guidance
    # above 1. Clean holes are filled best without a margin, which would remove known ground.
    write_defaults(folder, steps=2, guidance=1.0, margin=0)


def assemble(vae: AutoencoderKL, networks: InpaintNetworks, tokenizer: CLIPTokenizer):
    """The stock pipeline around the networks."""
    pipeline = StableDiffusionInpaintPipeline(
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
    train(parse_options(__doc__, minutes=30))
