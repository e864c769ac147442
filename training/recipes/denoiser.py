"""The parts that the recipes of denoisers share: UNet, text encoder, noise schedule, noised latents and their
targets."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from services.denoising import prediction
from training.recipes.tokenizer import LENGTH

WIDTH = 96  # of the text
LEVELS = 1000  # of noise


def unet(channels: int) -> UNet2DConditionModel:
    """`channels` in, 4 out. Attention at 8 x 8 and 4 x 4 only: at 16 x 16 it costs more than it gains."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 128, 160),
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Two layers. Embeddings start larger than stock ones, which learn slowly at this size."""
    settings = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = CLIPTextModel(settings)
    for name, table in encoder.named_parameters():
        if "embedding" in name:
            torch.nn.init.normal_(table, std=0.2 if "token" in name else 0.05)
    return encoder


def scheduler() -> DDIMScheduler:
    """Zero terminal SNR, velocity prediction, trailing timesteps."""
    return DDIMScheduler(
        num_train_timesteps=LEVELS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # without effect on trailing steps, but stock pipelines ask for it
    )


def noised(
    schedule: DDIMScheduler, clean: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, their noise levels, the target to predict. High levels are drawn more often, because
    they decide the composition."""
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    level = (torch.rand(len(clean), generator=generator).sqrt() * LEVELS).long().clamp(max=LEVELS - 1)
    level = level.to(clean.device)
    share = schedule.alphas_cumprod.to(clean)[level].reshape(-1, *(1 for _ in clean.shape[1:]))
    signal, sigma = share.sqrt(), (1 - share).sqrt()
    kind = schedule.config.prediction_type
    return (
        prediction.noised(clean, noise, signal, sigma),
        level,
        prediction.target(kind, clean, noise, signal, sigma),
    )


def weighted(error: Tensor, weight: Tensor) -> Tensor:
    """The mean squared error, weighted by place (n, 1, h, w)."""
    return (error.float().square() * weight).mean() / weight.mean()
