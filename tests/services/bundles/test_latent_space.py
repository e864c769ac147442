from __future__ import annotations

import pytest
import torch

from services.bundles.bundle import Bundle
from services.bundles.latent_space import LatentSpace, latent_space_of

CONFIG = {"latent_channels": 4, "block_out_channels": [1, 2, 3, 4]}


def test_the_latent_space_is_read_without_loading_weights(ip2p: Bundle):
    assert latent_space_of(ip2p) == LatentSpace(channels=4, factor=8, scale=(0.18215,))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6), (4, 3, 5, 6)])
@pytest.mark.parametrize(
    "config",
    [
        {"scaling_factor": 0.5, "shift_factor": None},
        {"scaling_factor": 1.5, "shift_factor": 0.25},
        {"scaling_factor": 1.0, "latents_mean": [0.0, 1.0, 2.0, 3.0], "latents_std": [1.0, 2.0, 4.0, 8.0]},
    ],
)
def test_latents_of_any_rank_are_normalised_and_back(shape, config):
    space = LatentSpace.of({**CONFIG, **config})
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(space.denormalise(space.normalise(latents)), latents)
    torch.testing.assert_close(
        space.normalise_deviation(torch.ones(shape)), space.normalise(latents + 1) - space.normalise(latents)
    )


def test_channels_are_normalised_by_their_own_mean_and_deviation():
    space = LatentSpace.of(
        {**CONFIG, "latents_mean": [0.0, 1.0, 2.0, 3.0], "latents_std": [1.0, 2.0, 4.0, 8.0]}
    )
    latents = torch.tensor([1.0, 3.0, 6.0, 11.0]).view(4, 1, 1).expand(4, 2, 2)
    assert torch.equal(space.normalise(latents), torch.ones(4, 2, 2))
