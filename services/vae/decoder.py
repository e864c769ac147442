"""The decoder of a VAE: latents to pictures. Families import it to decode in their own process.

Gradients flow through it from pictures to latents, unless the caller turns them off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from services.bundles.bundle import Bundle
from services.bundles.latent_space import LatentSpace
from services.vae.tiles import Tiling, in_tiles


class Decoder:
    """Decodes latents that are normalised for denoisers, by an AutoencoderKL.

    Every picture has a pass of its own, as in diffusers, so that other pictures change no bit of it.
    """

    def __init__(self, network: nn.Module, tiling: Tiling | None = None) -> None:
        self.network: Any = network
        config: Any = network.config
        self.space = LatentSpace.of(config)
        self._tiling = tiling or Tiling()

    @classmethod
    def load(
        cls, bundle: Bundle, device: torch.device, dtype: torch.dtype, tiling: Tiling | None = None
    ) -> Decoder:
        """The decoder of a bundle alone, without the memory of its encoder."""
        network: Any = load_network(bundle, device, dtype)
        network.encoder = network.quant_conv = None
        return cls(network, tiling)

    def decode(self, latents: Tensor) -> Tensor:
        """The picture, float32 (3, height * factor, width * factor), of latents (channels, height, width).

        On the network's device. As the network returns it: values may lie a little outside [-1, 1].
        """
        values = self.space.denormalise(latents)[None].to(self.network.device)
        return in_tiles(values, self._picture, self._tiling, factor=self.space.factor, shrinks=False)[0]

    def _picture(self, latents: Tensor) -> Tensor:
        return self.network.decode(latents.to(self.network.dtype)).sample


def load_network(bundle: Bundle, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The VAE of a bundle; in float32 if its config sets `force_upcast`, because it overflows in float16."""
    upcast = bundle.config("vae").get("force_upcast", False)
    return bundle.network("vae", device=device, dtype=torch.float32 if upcast else dtype)
