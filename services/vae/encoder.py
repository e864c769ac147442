"""The encoder of a VAE: pictures to latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from services.bundles.latent_space import LatentSpace
from services.vae.tiles import Tiling, in_tiles


class Encoder:
    """Encodes pictures in [-1, 1] by an AutoencoderKL; latents are normalised for denoisers.

    Every picture has a pass of its own, as in diffusers, so that other pictures change no bit of it.
    """

    def __init__(self, network: nn.Module, tiling: Tiling | None = None) -> None:
        self.network: Any = network
        config: Any = network.config
        self.space = LatentSpace.of(config)
        self._tiling = tiling or Tiling()

    def encode(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely latents of a picture (3, height, width), and their standard deviation; float32, on
        the network's device."""
        values = picture[None].to(self.network.device)
        posterior = in_tiles(values, self._posterior, self._tiling, factor=self.space.factor, shrinks=True)
        mean, deviation = posterior[0].chunk(2)
        return self.space.normalise(mean), self.space.normalise_deviation(deviation)

    def _posterior(self, picture: Tensor) -> Tensor:
        found = self.network.encode(picture.to(self.network.dtype)).latent_dist
        return torch.cat([found.mean, found.std], dim=1)
