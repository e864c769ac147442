"""One family's way between pictures and latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from services.refusal import Refusal
from services.vae.tiles import Tiling, by_tiles


class Codec:
    """An AutoencoderKL speaking the denoiser's units: latents are scaled, pictures are in [-1, 1].

    Every picture has a pass of its own, as it has in diffusers, so that company changes no bit of it.
    """

    def __init__(self, network: nn.Module, tiling: Tiling) -> None:
        self._network: Any = network
        config: Any = network.config
        self._tiling = tiling
        self.channels: int = config.latent_channels
        self.factor: int = 2 ** (len(config.block_out_channels) - 1)
        self.scale: float = config.scaling_factor
        self._shift: float = config.shift_factor or 0.0

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely latents of a picture (3, height, width), and their standard deviation; float32."""
        mean, spread = self._work(picture, self._posterior, cells=(self.factor, 1)).chunk(2)
        return (mean - self._shift) * self.scale, spread * self.scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """The picture, float32 (3, height * factor, width * factor), of latents (channels, height, width).

        As the network gives it: values may lie a little outside [-1, 1].
        """
        return self._work(latents / self.scale + self._shift, self._picture, cells=(1, self.factor))

    def _work(self, values: Tensor, work: Callable[[Tensor], Tensor], cells: tuple[int, int]) -> Tensor:
        """In one pass, or in windows where the picture is large; raises Refusal if the network overflows."""
        made = self._worked(values, work, cells)
        if not bool(torch.isfinite(made).all()):
            raise Refusal("INTERNAL", "the network answered numbers that are not finite")
        return made.cpu()

    def _worked(self, values: Tensor, work: Callable[[Tensor], Tensor], cells: tuple[int, int]) -> Tensor:
        values = values[None].to(self._network.device)
        pixels = values.shape[-2] * values.shape[-1] * (self.factor // cells[0]) ** 2
        if pixels <= self._tiling.above:
            return work(values)[0].float()
        side, overlap = (
            max(2, self._tiling.side // self.factor),
            max(1, self._tiling.overlap // self.factor),
        )
        return by_tiles(values, work, cells=cells, side=side, overlap=overlap)[0]

    def _posterior(self, picture: Tensor) -> Tensor:
        found = self._network.encode(picture.to(self._network.dtype)).latent_dist
        return torch.cat([found.mean, found.std], dim=1)

    def _picture(self, latents: Tensor) -> Tensor:
        return self._network.decode(latents.to(self._network.dtype)).sample
