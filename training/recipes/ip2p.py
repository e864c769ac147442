"""Edits by instruction: UNet of 8 channels and its text encoder, from nothing.

    python -m training.recipes.ip2p --minutes 75
    python -m training.recipes.ip2p --minutes 90 --warm     goes on from the weights in the bundle

Needs the autoencoder and the tokenizer. Five versions of a scene are encoded once; any ordered pair of
them is an edit, so a few thousand scenes give a hundred thousand edits. A part of the batches shows the thing
in the middle of its scene; most show crops of photos, as the service cuts them out for a region.
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
from training.recipes.edit_measure import (
    SOURCE_GUIDANCE,
    STEPS,
    TEXT_GUIDANCE,
    edit_figures,
    photo_figures,
)
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.pixels import to_network
from training.recipes.tokenizer import token_ids
from training.recipes.training_loop import TrainingPlan, train_network
from training.world.address import Address
from training.world.edit import an_edit, some_versions
from training.world.ground import UNIT
from training.world.photo import a_photo

SCENES, PHOTOS = 5000, 10000
BATCH = 24
_OF_PHOTOS = 0.7  # of the batches
_SIDE = 16  # cells of the largest sheet
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
    return {"latents": encoded(vae, np.stack([picture.pixels for picture in pictures]))}


def encoded(vae: AutoencoderKL, pixels: np.ndarray) -> np.ndarray:
    """The latents of pictures (n, height, width, 3), unscaled, float16."""
    with torch.no_grad(), torch.autocast(vae.device.type, torch.bfloat16):
        return vae.encode(to_network(pixels).to(vae.device)).latent_dist.mode().half().cpu().numpy()


def edit_latents(vae: AutoencoderKL, options: RecipeOptions) -> np.ndarray:
    """The latents of all training scenes, float16 (scenes, 5, 4, 16, 16), unscaled."""
    count = int(SCENES * options.share)
    arrays = cached_arrays(options.training / "edits", count, lambda index: latents_of(vae, "train", index))
    return np.array(arrays["latents"])


def photo_row(vae: AutoencoderKL, index: int) -> dict[str, np.ndarray]:
    """The latents of a photo's sheets (5, 4, h, w) and the cells of its region (h, w), in the corner of
    arrays of 16 x 16; `size` is (h, w)."""
    photo = a_photo(Address("train", "photos", index))
    sheets = np.stack([photo.sheet(one).transpose(1, 2, 0) for one in photo.pictures()])
    latents, inside = encoded(vae, sheets), photo.inside(UNIT // _SIDE)
    spare = [(0, _SIDE - length) for length in inside.shape]
    return {
        "latents": np.pad(latents, [(0, 0), (0, 0), *spare]),
        "inside": np.pad(inside, spare),
        "size": np.array(inside.shape),
    }


class EditBatches:
    """Batches of edits of scenes and of photos; each is a function of the step."""

    def __init__(
        self,
        scenes: np.ndarray,
        photos: Mapping[str, np.ndarray],
        tokenizer: CLIPTokenizer,
        scaling: float,
    ):
        self.scenes, self.scaling = scenes, scaling
        self.photos = {name: np.array(array) for name, array in photos.items()}
        self.scene_things = [
            some_versions(Address("train", "edits", index)).things for index in range(len(scenes))
        ]
        self.photo_things = [
            a_photo(Address("train", "photos", index)).versions.things
            for index in range(len(self.photos["size"]))
        ]
        self.ids = lru_cache(maxsize=None)(lambda text: token_ids(tokenizer, text))

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source (n, 4, h, w) unscaled, target (n, 4, h, w) scaled, regions (n, 1, h, w), words (n, 32)."""
        rng = Address("train", "edit lessons", step).rng()
        if rng.random() < _OF_PHOTOS:
            # All sheets of a batch have the size of one by chance.
            sizes = self.photos["size"]
            alike = np.flatnonzero((sizes == sizes[rng.integers(len(sizes))]).all(1))
            chosen, (height, width) = rng.choice(alike, BATCH), sizes[alike[0]]
            latents = self.photos["latents"][chosen, ..., :height, :width]
            regions = self.photos["inside"][chosen, None, :height, :width].astype(np.float32)
            things = self.photo_things
        else:
            chosen = rng.integers(0, len(self.scenes), BATCH)
            latents, things = self.scenes[chosen], self.scene_things
            regions = np.zeros((BATCH, 1, *latents.shape[-2:]), np.float32)
        edits = [an_edit(rng, things[index]) for index in chosen]
        each = np.arange(BATCH)
        source = latents[each, [edit.source for edit in edits]].astype(np.float32)
        target = latents[each, [edit.target for edit in edits]].astype(np.float32)
        chance = rng.random(BATCH)
        silent, blind = chance < _NO_TEXT, (chance >= _NO_TEXT / 2) & (chance < _NO_TEXT / 2 + _NO_SOURCE)
        words = [
            self.ids("" if quiet else edit.instruction) for quiet, edit in zip(silent, edits, strict=True)
        ]
        source[blind] = 0
        return (
            torch.from_numpy(source),
            torch.from_numpy(target) * self.scaling,
            torch.from_numpy(regions),
            torch.tensor(words),
        )


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    folder = options.starter / "ip2p"
    vae = read_vae(folder / "vae").to(options.device)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scaling = vae.config.scaling_factor
    photos = cached_arrays(
        options.training / "photos", int(PHOTOS * options.share), lambda index: photo_row(vae, index)
    )
    batches = EditBatches(edit_latents(vae, options), photos, tokenizer, scaling)
    networks, schedule = EditNetworks(tokenizer, scaling), denoiser.scheduler()
    if options.warm:
        networks.unet.load_state_dict(read_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"))
        networks.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    networks.to(options.device)

    def loss_at(step: int, _: float) -> tuple[Tensor, dict[str, float]]:
        source, target, regions, words = (part.to(options.device) for part in batches.batch(step))
        noisy, level, velocity = denoiser.noised(schedule, target, torch.Generator().manual_seed(step))
        with torch.autocast(options.device.type, torch.bfloat16):
            text = networks.text_encoder(words).last_hidden_state
            predicted = networks.unet(torch.cat([noisy, source], dim=1), level, text).sample
        # What changes is a small part of the picture, and all that the instruction is about.
        changes = ((target - source * scaling).abs().amax(1, keepdim=True) > 0.25).float()
        weight = 1 + regions + 2 * F.max_pool2d(changes, 3, 1, 1)
        return denoiser.weighted(predicted - velocity, weight), {}

    def validate(averaged: EditNetworks) -> Mapping[str, float]:
        pipeline = assemble(vae, averaged, tokenizer).to(options.device)
        scenes = edit_figures(pipeline, "validation", 48)
        return {**scenes, **photo_figures(pipeline, "validation", 48)}

    # A warm start has its flat part behind it.
    pace = 0.5 if options.warm else 1.0
    optimizer = optimizer_for(networks, matrix_rate=0.02 * pace, vector_rate=1e-3 * pace)
    plan = TrainingPlan(options.budget, flat=0.1 if options.warm else 0.5, validate_every=12)
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
