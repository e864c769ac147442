"""The autoencoder all latent networks share: 8 times smaller, 4 channels.

    python -m training.recipes.vae --minutes 28

Trained on crops of 64 pixels most of the time, for steps are four times cheaper there, and on whole
pictures at the end, so that the attention in the middle meets its real size.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.recipes.array_cache import cached_arrays
from training.recipes.component import earlier, read_tensors, write_network
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.pixels import to_network
from training.recipes.training_loop import TrainingPlan, train_network
from training.world.address import Address
from training.world.edit import GONE, some_versions
from training.world.scene import a_scene, draw

PICTURES = 12_000
WHOLE = 0.85  # from this part of the budget on, whole pictures


def network() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(16, 32, 96, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
    )


def picture(split: str, index: int) -> np.ndarray:
    """Half of the pictures are scenes, half are what an edit sees: one thing large in the middle."""
    if index % 2:
        return draw(a_scene(Address(split, "vae", index))).pixels
    versions = some_versions(Address(split, "vae", index))
    return draw(versions.scene(index // 2 % (GONE + 1))).pixels


def batch(pictures: np.ndarray, step: int, spent: float) -> Tensor:
    """Crops (16, 3, 64, 64) or whole pictures (4, 3, 128, 128) in [-1, 1], turned and mirrored."""
    rng = Address("train", "vae batch", step).rng()
    count, side = (4, 128) if spent > WHOLE else (16, 64)
    crops = np.empty((count, side, side, 3), np.uint8)
    for place_, index in enumerate(rng.integers(0, len(pictures), count)):
        top, left = rng.integers(0, pictures.shape[1] - side + 1, 2)
        crop = np.rot90(pictures[index, top : top + side, left : left + side], rng.integers(4))
        crops[place_] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return to_network(crops)


def loss(vae: AutoencoderKL, x: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
    """Absolute, squared and edge errors of the rebuilt picture, and a little pull to a unit Gaussian."""
    with torch.autocast(x.device.type, torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        noise = torch.Generator().manual_seed(step)
        sample = torch.randn(posterior.mean.shape, generator=noise).to(x.device)
        rebuilt = vae.decode(posterior.mean + posterior.std * sample).sample
    error = rebuilt.float() - x
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    pull = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    squared = error.square().mean()
    total = error.abs().mean() + 2 * squared + 0.25 * edges + 1e-4 * pull
    return total, {"psnr": float(-10 * torch.log10(squared.detach() / 4))}


@torch.no_grad()
def rebuild(vae: AutoencoderKL, x: Tensor) -> tuple[Tensor, Tensor]:
    """Rebuilt pictures and their latents, deterministically."""
    latents = vae.encode(x).latent_dist.mode()
    return vae.decode(latents).sample.clamp(-1, 1), latents


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Decibels per picture, for pictures in [-1, 1]."""
    return -10 * torch.log10((one - other).square().flatten(1).mean(1) / 4)


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    vae = network().to(options.device)
    home = options.starter / "ip2p" / "vae"  # other latent bundles keep a copy
    if options.warm:
        vae.load_state_dict(read_tensors(home / "diffusion_pytorch_model.safetensors"))
    count = int(PICTURES * options.share)
    arrays = cached_arrays(
        options.training / "pictures", count, lambda index: {"pixels": picture("train", index)}
    )
    pictures = np.array(arrays["pixels"])
    watched = to_network(np.stack([picture("validation", index) for index in range(64)])).to(options.device)

    def loss_at(step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        return loss(vae, batch(pictures, step, spent).to(options.device), step)

    def validate(averaged: AutoencoderKL) -> dict[str, float]:
        rebuilt, latents = rebuild(averaged, watched)
        return {"watched psnr": psnr(rebuilt, watched).mean(), "latent std": latents.std()}

    optimizer = optimizer_for(vae, matrix_rate=0.02, vector_rate=2e-3)
    plan = TrainingPlan(options.budget, flat=0.3)
    averaged, record = train_network(options.training / "vae", vae, optimizer, loss_at, plan, validate)
    averaged.register_to_config(scaling_factor=round(1 / record["watched"]["latent std"], 4))
    write_network(averaged, home, {**record, **earlier(home, options.warm)})


if __name__ == "__main__":
    train(parse_options(__doc__, minutes=28))
