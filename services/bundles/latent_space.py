"""The latent space of a VAE: the size of latents, and their scale for denoisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle


@dataclass(frozen=True)
class LatentSpace:
    """A VAE's latents (channels, ...), of any further dimensions; one covers `factor` x `factor` pixels.

    Denoisers work on (latents - shift) * scale. Both have one number for all channels, or one per channel.
    """

    channels: int
    factor: int
    scale: tuple[float, ...]
    shift: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> LatentSpace:
        """The space of a network's complete config: `scaling_factor` and `shift_factor`, or, where they are
        given, `latents_mean` and `latents_std` per channel."""
        mean, deviation = config.get("latents_mean"), config.get("latents_std")
        if mean is not None and deviation is not None:
            shift, scale = tuple(map(float, mean)), tuple(1 / float(each) for each in deviation)
        else:
            shift, scale = (float(config.get("shift_factor") or 0.0),), (float(config["scaling_factor"]),)
        return cls(config["latent_channels"], 2 ** (len(config["block_out_channels"]) - 1), scale, shift)

    def normalise(self, latents: Tensor) -> Tensor:
        """Latents of the VAE as denoisers work on them."""
        return (latents - _per_channel(self.shift, latents)) * _per_channel(self.scale, latents)

    def normalise_deviation(self, deviation: Tensor) -> Tensor:
        """The standard deviation of latents as denoisers work on them."""
        return deviation * _per_channel(self.scale, deviation)

    def denormalise(self, latents: Tensor) -> Tensor:
        """Latents of a denoiser as the VAE decodes them."""
        return latents / _per_channel(self.scale, latents) + _per_channel(self.shift, latents)


def latent_space_of(bundle: Bundle) -> LatentSpace:
    """The latent space of a bundle's VAE; reads its config only."""
    network: Any = build_on_meta("vae", bundle.config("vae"))
    return LatentSpace.of(network.config)


def _per_channel(values: Sequence[float], latents: Tensor) -> float | Tensor:
    if len(values) == 1:
        return values[0]
    return latents.new_tensor(values).view(-1, *(1 for _ in latents.shape[1:]))
