"""Every schedule leads to the clean latents with the config of a bundle, whichever it was written for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.bundles.bundle import Bundle
from services.bundles.published_configs import IP2P
from services.denoising.schedule import Schedule, ScheduleSpec
from services.denoising.schedules import DIFFUSION, SCHEDULES, most_steps


def all_knowing(seen: torch.Tensor, clean: torch.Tensor, level: float, config: dict) -> torch.Tensor:
    """The noise in what a network is shown at a level, by whoever knows the clean latents."""
    betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000, dtype=np.float64) ** 2
    kept = np.cumprod(1 - betas)
    if level != round(level):  # between two levels, what grows evenly is the noise beside one part of signal
        spread = np.interp(level, np.arange(1000), ((1 - kept) / kept) ** 0.5)
        share = 1 / (1 + spread**2)
    else:
        share = kept[int(level)]
    return (seen - share**0.5 * clean) / (1 - share) ** 0.5


def schedule(name: str, config: dict, steps: int) -> Schedule:
    return SCHEDULES[name](config, ScheduleSpec(name, steps))


@pytest.mark.parametrize("name", DIFFUSION)
@pytest.mark.parametrize("published", [True, False], ids=["published", "tiny"])
def test_with_a_perfect_network_the_clean_latents_are_found(name: str, published: bool, ip2p: Bundle):
    """Latents go far beyond [-1, 1], where schedulers for pixels would cut them off."""
    config = (Bundle.open(IP2P) if published else ip2p).scheduler_config()
    generator = torch.Generator().manual_seed(3)
    clean = 3 * torch.randn(1, 4, 8, 8, generator=generator)
    way = schedule(name, config, steps=20)
    latents = torch.randn(clean.shape, generator=generator) * way.noise_scale
    for index, level in enumerate(way.timesteps.tolist()):
        noise = all_knowing(way.network_input(latents, index), clean, level, config)
        latents, estimate = way.advance(noise.float(), index, latents, generator)
    torch.testing.assert_close(estimate, clean, rtol=0, atol=0.01)
    # Some leave what noise there was at the first level the network was trained at.
    torch.testing.assert_close(latents, clean, rtol=0, atol=0.2)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_clean_estimate_of_pndm_is_that_of_another_solver(prediction: str, ip2p: Bundle):
    """It keeps no clean estimate of its own. At the first step both have seen the same."""
    config = {**ip2p.scheduler_config(), "prediction_type": prediction}
    generator = torch.Generator().manual_seed(4)
    latents, estimate = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(2))
    found = []
    for name in ("pndm", "ddim"):
        way = schedule(name, config, steps=10)
        found.append(way.advance(estimate, 0, latents, generator)[1])
    torch.testing.assert_close(*found)


def test_pndm_takes_one_step_more_than_requested(ip2p: Bundle):
    assert len(schedule("pndm", ip2p.scheduler_config(), steps=10).timesteps) == 11
    assert most_steps("pndm", ip2p.scheduler_config()) == most_steps("ddim", ip2p.scheduler_config())
