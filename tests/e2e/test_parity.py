"""The served picture is the picture diffusers makes from the same weights, words, seed and settings."""

from __future__ import annotations

import io

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import intarsia
from services.bundles.bundle import Bundle
from services.denoising.schedules import SCHEDULES
from tests.e2e.conftest import THREADS

WORDS = "make the circle blue"

SETTINGS = [
    # width, height, steps, guidance, picture guidance, scheduler, negative words
    (128, 128, 8, 7.5, 1.5, "ddim", ""),
    (128, 128, 8, 2.5, 1.2, "ddim", "a red square"),
    (96, 128, 6, 4.0, 1.0, "ddim", ""),
    (128, 72, 6, 7.5, 2.0, "ddim", "noise"),
    (64, 64, 10, 1.0, 1.0, "ddim", ""),
    (128, 128, 8, 7.5, 1.5, "euler", ""),
    (104, 88, 6, 3.0, 1.3, "euler", "a red square"),
    (128, 128, 8, 7.5, 1.5, "euler_ancestral", ""),
    (72, 128, 6, 2.5, 1.2, "euler_ancestral", "noise"),
    (128, 96, 8, 5.0, 1.5, "dpm_solver", ""),
    (64, 128, 8, 3.0, 1.1, "dpm_solver", "a red square"),
    (128, 128, 8, 7.5, 1.5, "unipc", ""),
    (88, 64, 8, 2.0, 1.0, "unipc", "noise"),
    (96, 96, 8, 7.5, 1.5, "ddpm", ""),
]


@pytest.fixture(scope="module")
def parts(weights) -> dict:
    bundle = Bundle.open(weights / "ip2p")
    torch.set_num_threads(THREADS)
    cpu = torch.device("cpu")
    names = ("vae", "text_encoder", "unet")
    return {name: bundle.network(name, device=cpu) for name in names} | {
        "tokenizer": bundle.tokenizer(),
        "config": bundle.scheduler_config(),
    }


def by_diffusers(parts: dict, picture: Image.Image, setting: tuple, seed: int) -> np.ndarray:
    _, _, steps, guidance, picture_guidance, scheduler, negative = setting
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=parts["vae"],
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        unet=parts["unet"],
        scheduler=SCHEDULES[scheduler].scheduler.from_config(parts["config"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        WORDS,
        image=picture,
        num_inference_steps=steps,
        guidance_scale=guidance,
        image_guidance_scale=picture_guidance,
        negative_prompt=negative,
        generator=torch.Generator().manual_seed(seed),
    )
    return np.asarray(made.images[0])


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(str(part) for part in s[:6]))
def test_served_pictures_equal_those_of_diffusers(client: intarsia.Client, parts, setting):
    width, height, steps, guidance, picture_guidance, scheduler, negative = setting
    seed = width * 1000 + height
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    job = client.edit_region(
        file.getvalue(),
        intarsia.rectangle(0, 0, width, height).feathered(0),
        WORDS,
        negative_instruction=negative,
        seed=seed,
        steps=steps,
        guidance=guidance,
        picture_guidance=picture_guidance,
        scheduler=scheduler,
        context=0,
    )
    result = job.result(timeout=120)
    assert (result.manifest.working_width, result.manifest.working_height) == (width, height)
    ours = np.asarray(Image.open(io.BytesIO(client.read(result.picture)))).astype(int)
    theirs = by_diffusers(parts, picture, setting, seed).astype(int)
    assert theirs.std() > 1, "a flat picture would prove nothing"
    assert np.abs(ours - theirs).max() <= 1
