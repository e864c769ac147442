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
from training.recipes.component import (
    earlier,
    keep,
    keep_text_encoder,
    read_vae,
    stored,
    write_defaults,
    write_index,
)
from training.recipes.course import Plan, take
from training.recipes.fill_measure import fill_figures
from training.recipes.ip2p import edit_shelf
from training.recipes.muon import optimizer_for
from training.recipes.pixels import to_network
from training.recipes.place import Place, place
from training.recipes.shelf import shelved
from training.recipes.tokenizer import token_ids
from training.world.address import Address
from training.world.edit import GONE, some_versions
from training.world.hole import a_hole, around, roomy
from training.world.phrase import phrases

SCENES = 4000
BATCH = 24
_BEHIND = ("", "background", "the background")
_KINDS = ("thing away", "somewhere", "thing here")


class Filler(nn.Module):
    """The two networks, as the editor left them, with a mask channel between noise and picture."""

    def __init__(self, editor: UNet2DConditionModel, text_encoder: CLIPTextModel, scaling: float):
        super().__init__()
        self.unet, self.text_encoder = denoiser.unet(9), text_encoder
        state = editor.state_dict()
        learnt = state["conv_in.weight"]
        widened = learnt.new_zeros(learnt.shape[0], 9, *learnt.shape[2:])
        widened[:, :4] = learnt[:, :4]
        # This pipeline scales the latents of the picture, the editor's does not.
        widened[:, 5:] = learnt[:, 4:] / scaling
        self.unet.load_state_dict({**state, "conv_in.weight": widened})


def holes(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Three holes (3, h, w) in one scene and the pictures they are cut into (3, h, w, 3).

    One where a thing is taken away, one anywhere, one where a thing shall be.
    """
    versions = some_versions(Address(split, "edits", index))
    dice = versions.address.dice("holes")
    pictures = versions.pictures()
    here, gone = pictures[0], pictures[GONE]
    cut = (around(here.masks[-1]), a_hole(dice), roomy(dice, here.masks[-1]))
    return np.stack(cut), np.stack([here.pixels, gone.pixels, here.pixels])


def shelf_row(vae: AutoencoderKL, split: str, index: int) -> dict[str, np.ndarray]:
    """Latents of the three pictures with their holes greyed (3, 4, 16, 16), unscaled, and small holes."""
    cut, pixels = holes(split, index)
    x = to_network(pixels) * torch.from_numpy(~cut)[:, None].float()
    with torch.no_grad(), torch.autocast(vae.device.type, torch.bfloat16):
        latents = vae.encode(x.to(vae.device)).latent_dist.mode().half().cpu().numpy()
    # As the pipeline does it: the nearest pixel, not the mean.
    small = F.interpolate(torch.from_numpy(cut)[:, None].float(), size=latents.shape[-2:])
    return {"masked": latents, "holes": small.bool().numpy()}


class Lessons:
    """Batches of holes, each a function of the step."""

    def __init__(
        self, shelf: Mapping[str, np.ndarray], clean: np.ndarray, tokenizer: CLIPTokenizer, scaling: float
    ):
        self.masked, self.holes = np.array(shelf["masked"]), np.array(shelf["holes"])
        self.clean, self.scaling = clean, scaling
        self.things = [
            some_versions(Address("train", "edits", index)).things for index in range(len(self.masked))
        ]
        self.ids = lru_cache(maxsize=None)(lambda text: token_ids(tokenizer, text))

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Target and masked latents (n, 4, 16, 16) scaled, holes (n, 1, 16, 16), words (n, 32)."""
        dice = Address("train", "hole lessons", step).dice()
        scenes, kinds = dice.integers(0, len(self.masked), BATCH), dice.integers(0, len(_KINDS), BATCH)
        target = self.clean[scenes, np.where(kinds == 2, 0, GONE)].astype(np.float32)
        words = [self._words(dice, scene, kind) for scene, kind in zip(scenes, kinds, strict=True)]
        masked = self.masked[scenes, kinds].astype(np.float32)
        hole = torch.from_numpy(self.holes[scenes, kinds]).float()
        scaled = (torch.from_numpy(latents) * self.scaling for latents in (target, masked))
        return (*scaled, hole, torch.tensor([self.ids(text) for text in words]))

    def _words(self, dice: np.random.Generator, scene: int, kind: int) -> str:
        if kind != 2:
            return _BEHIND[dice.integers(len(_BEHIND))]
        named = phrases(self.things[scene][0])
        return named[dice.integers(len(named))]


def train(where: Place) -> None:
    torch.manual_seed(0)
    editor, folder = where.starter / "ip2p", where.starter / "sd2_inpaint"
    shutil.copytree(editor / "vae", folder / "vae", dirs_exist_ok=True)
    shutil.copytree(editor / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    vae = read_vae(folder / "vae").to(where.device)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scaling, count = vae.config.scaling_factor, int(SCENES * where.share)
    clean = edit_shelf(vae, where)
    shelf = shelved(where.training / "holes", count, lambda index: shelf_row(vae, "train", index))
    lessons = Lessons(shelf, clean[:count], tokenizer, scaling)
    warm = UNet2DConditionModel.from_pretrained(editor / "unet", dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(editor / "text_encoder", dtype=torch.float32)
    filler, schedule = Filler(warm, text_encoder, scaling), denoiser.scheduler()
    if where.warm:
        filler.unet.load_state_dict(stored(folder / "unet" / "diffusion_pytorch_model.safetensors"))
        filler.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    filler.to(where.device)

    def lesson(step: int, _: float) -> tuple[Tensor, dict[str, float]]:
        target, masked, hole, words = (part.to(where.device) for part in lessons.batch(step))
        noisy, level, velocity = denoiser.noised(schedule, target, torch.Generator().manual_seed(step))
        with torch.autocast(where.device.type, torch.bfloat16):
            text = filler.text_encoder(words).last_hidden_state
            said = filler.unet(torch.cat([noisy, hole, masked], dim=1), level, text).sample
        return denoiser.weighted(said - velocity, 0.3 + 2 * F.max_pool2d(hole, 3, 1, 1)), {}

    def watch(averaged: Filler) -> Mapping[str, float]:
        return fill_figures(assemble(vae, averaged, tokenizer).to(where.device), "watch", 64)

    optimizer = optimizer_for(filler, matrix_rate=0.015, vector_rate=6e-4)
    # What a warm start goes on from has its flat part behind it.
    plan = Plan(where.budget, flat=0.1 if where.warm else 0.4, watch_every=5)
    averaged, record = take(where.training / "sd2_inpaint", filler, optimizer, lesson, plan, watch)
    write(averaged, where, {**record, **earlier(folder / "unet", where.warm)})


def write(filler: Filler, where: Place, record: dict) -> None:
    folder = where.starter / "sd2_inpaint"
    keep(filler.unet, folder / "unet", record)
    keep_text_encoder(filler.text_encoder, folder / "text_encoder", record)
    denoiser.scheduler().save_pretrained(folder / "scheduler")
    write_index(folder, "StableDiffusionInpaintPipeline")
    # Few steps: what is behind has one answer, and more of them only make up texture. Words steer enough
    # without being exaggerated.
    # Clean holes are filled best as they are: a margin takes away ground that is known.
    write_defaults(folder, steps=2, guidance=1.0, margin=0)


def assemble(vae: AutoencoderKL, filler: Filler, tokenizer: CLIPTokenizer):
    """The stock pipeline around the networks."""
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=filler.text_encoder,
        tokenizer=tokenizer,
        unet=filler.unet,
        scheduler=denoiser.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


if __name__ == "__main__":
    train(place(__doc__, minutes=30))
