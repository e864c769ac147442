"""The algebra of predictions agrees with itself and with diffusers."""

from __future__ import annotations

import diffusers
import pytest
import torch

from services.denoising import prediction
from tests.services.denoising.doubles import SCHEDULER

CLEAN, NOISE = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", prediction.KINDS)
@pytest.mark.parametrize("sigma", [0.1, 0.6, 0.95])
def test_a_perfect_prediction_leads_to_the_clean_latents(kind: str, sigma: float):
    signal = 1 - sigma if kind == "flow_prediction" else (1 - sigma**2) ** 0.5
    noisy = prediction.noised(CLEAN, NOISE, signal, sigma)
    target = prediction.target(kind, CLEAN, NOISE, signal, sigma)
    found = prediction.clean_estimate(kind, noisy, target, signal, sigma)
    torch.testing.assert_close(found, CLEAN, rtol=0, atol=1e-4)


def test_noise_and_velocity_are_those_of_diffusers_to_the_bit():
    scheduler = diffusers.DDIMScheduler.from_config(SCHEDULER)
    levels = torch.tensor([3, 500, 998])
    share = scheduler.alphas_cumprod[levels].reshape(-1, 1, 1, 1)
    signal, sigma = share.sqrt(), (1 - share).sqrt()
    assert torch.equal(
        prediction.noised(CLEAN, NOISE, signal, sigma), scheduler.add_noise(CLEAN, NOISE, levels)
    )
    velocity = prediction.target("v_prediction", CLEAN, NOISE, signal, sigma)
    assert torch.equal(velocity, scheduler.get_velocity(CLEAN, NOISE, levels))


@pytest.mark.parametrize("work", [prediction.target, prediction.clean_estimate])
def test_an_unknown_kind_is_an_error(work):
    with pytest.raises(ValueError, match="prediction 'score' is none of epsilon, sample, v_prediction"):
        work("score", CLEAN, NOISE, 0.5, 0.5)
