"""The decoder of a VAE by itself, as a family uses it in its own process."""

from __future__ import annotations

import pytest
import torch

from services.bundles.bundle import Bundle
from services.vae.decoder import Decoder
from services.vae.service import Vae
from services.vae.tiles import Tiling
from tests.services.calls import tensors

CPU = torch.device("cpu")
TILES = Tiling(above=64 * 64, side=64, overlap=16)


def latents(height: int, width: int) -> torch.Tensor:
    return torch.randn(4, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tiling", [Tiling(), TILES], ids=["whole", "tiles"])
def test_a_decoder_alone_gives_the_pictures_of_the_service(ip2p: Bundle, tiling: Tiling):
    alone = Decoder.load(ip2p, CPU, torch.float32, tiling)
    served = Vae([ip2p], CPU, torch.float32, tiling).answer(tensors(family="ip2p", latents=latents(12, 20)))
    assert torch.equal(alone.decode(latents(12, 20)), served["decoded"])


def test_a_decoder_alone_takes_no_memory_for_an_encoder(ip2p: Bundle):
    names = {
        name.partition(".")[0]
        for name, _ in Decoder.load(ip2p, CPU, torch.float32).network.named_parameters()
    }
    assert names == {"decoder", "post_quant_conv"}


@pytest.mark.parametrize("tiling", [Tiling(), TILES], ids=["whole", "tiles"])
def test_a_gradient_flows_from_a_picture_to_its_latents(ip2p: Bundle, tiling: Tiling):
    """It is the derivative: a small step along it changes the loss by the length of the gradient."""
    decoder = Decoder.load(ip2p, CPU, torch.float32, tiling)
    target = torch.zeros(3, 96, 160)
    start = latents(12, 20).requires_grad_()

    def loss(at: torch.Tensor) -> torch.Tensor:
        return (decoder.decode(at) - target).square().sum()

    loss(start).backward()
    assert start.grad is not None
    length = start.grad.double().norm()
    step = (1e-3 * start.grad / length).detach()
    with torch.no_grad():
        slope = (loss(start + step).double() - loss(start - step).double()) / 2e-3
    assert float(slope) == pytest.approx(float(length), rel=0.01)
    assert all(parameter.grad is None for parameter in decoder.network.parameters())
