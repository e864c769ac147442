"""The service `vae`: the VAEs of all families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from services import json_text
from services.bundles.bundle import Bundle
from services.bundles.latent_space import LatentSpace
from services.bundles.shared_networks import load_shared
from services.refusal import Refusal, invalid
from services.vae.decoder import Decoder, load_network
from services.vae.encoder import Encoder
from services.vae.levels import to_levels, to_numbers
from services.vae.tiles import Tiling

LARGEST = 2048 * 2048  # pixels; other requests wait meanwhile, and denoisers make no larger ones
_DEPTH = 8  # bits
WHITE = 1.001  # the highest value of a picture in [-1, 1], with room for rounding


class Vae:
    """Encodes pictures and decodes latents, for every bundle that has a VAE."""

    inputs = ("family", "picture", "pixels", "latents", "depth")

    def __init__(
        self,
        bundles: Iterable[Bundle],
        device: torch.device,
        dtype: torch.dtype | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        """Without `dtype`, each network has the number type that its bundle names for the device."""
        loaded = load_shared(
            bundles,
            "vae",
            lambda bundle: dtype or bundle.number_type(device),
            lambda bundle, own: load_network(bundle, device, own),
        )
        self._codecs = {item.bundle.name: Codec.of(item.network, tiling) for item in loaded}
        self._digests = {item.bundle.name: item.digest for item in loaded}

    def facts(self) -> dict[str, Any]:
        """What is loaded, by family: `factor` pixels to a latent, and the scale latents carry."""
        return {
            "families": {
                name: {
                    "weights": self._digests[name],
                    "channels": codec.space.channels,
                    "factor": codec.space.factor,
                    "scale": codec.space.scale[0] if len(codec.space.scale) == 1 else list(codec.space.scale),
                }
                for name, codec in self._codecs.items()
            }
        }

    def digest(self, request: Mapping[str, Tensor]) -> str:
        """The digest of the weights of the request's family."""
        return self._digests[self._family(request)]

    def probe(self) -> None:
        """Encode and decode a few grey pixels for every family."""
        for codec in self._codecs.values():
            side = 2 * codec.space.factor
            encoded, _ = codec.encode(torch.zeros(3, side, side))
            codec.decode(encoded)

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`encoded` and `spread` for a picture or pixels; for latents `decoded`, or `pixels` with a depth."""
        codec = self._codecs[self._family(request)]
        if sum(name in request for name in ("picture", "pixels", "latents")) != 1:
            raise invalid(
                "picture",
                "or pixels or latents must be given, and only one: a picture to encode or latents to decode",
            )
        if "latents" in request:
            latents = _latents(request["latents"], codec.space)
            if "depth" not in request:
                return {"decoded": codec.decode(latents)}
            _check_depth(request["depth"])
            return {"pixels": codec.decode(latents, to_levels)}
        if "depth" in request:
            raise invalid("depth", "must come with latents: it is that of the pixels they are decoded to")
        if "picture" in request:
            picture = _picture(request["picture"], codec.space.factor)
        else:
            picture = _pixels(request["pixels"], codec.space.factor)
        encoded, spread = codec.encode(picture)
        return {"encoded": encoded, "spread": spread}

    def _family(self, request: Mapping[str, Tensor]) -> str:
        if "family" not in request:
            raise invalid("family", "is missing")
        family = json_text.text("family", request["family"])
        if family not in self._codecs:
            raise Refusal(
                "NOT_FOUND", f"family {family[:64]!r} is not loaded here; loaded: {', '.join(self._codecs)}"
            )
        return family


@dataclass(frozen=True)
class Codec:
    """The encoder and the decoder of one network; their results are on the host and finite."""

    encoder: Encoder
    decoder: Decoder
    space: LatentSpace

    @classmethod
    def of(cls, network: nn.Module, tiling: Tiling | None) -> Codec:
        """The codec of an AutoencoderKL."""
        encoder = Encoder(network, tiling)
        return cls(encoder, Decoder(network, tiling), encoder.space)

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely latents of a picture, in [-1, 1] or UINT8, and their standard deviation."""
        if picture.dtype == torch.uint8:
            picture = to_numbers(picture.to(self.encoder.network.device))
        latents, deviation = self.encoder.encode(picture)
        return _finite(latents).cpu(), _finite(deviation).cpu()

    @torch.inference_mode()
    def decode(
        self, latents: Tensor, convert: Callable[[Tensor], Tensor] = lambda picture: picture
    ) -> Tensor:
        """The picture of latents, converted before it leaves the device."""
        return convert(_finite(self.decoder.decode(latents))).cpu()


def _finite(values: Tensor) -> Tensor:
    """The same values; raises Refusal if the network overflowed."""
    if not bool(torch.isfinite(values).all()):
        raise Refusal("INTERNAL", "the network answered numbers that are not finite")
    return values


def _picture(tensor: Tensor, factor: int) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.shape[0] != 3:
        raise invalid("picture", f"must be FP32 (3, height, width), not {tuple(tensor.shape)}")
    _check_sides("picture", tensor, factor)
    if not bool((tensor.abs() <= WHITE).all()):  # false for NaN, too
        raise invalid("picture", "must hold values in [-1, 1]; divide bytes by 127.5 and subtract 1")
    return tensor


def _pixels(tensor: Tensor, factor: int) -> Tensor:
    if tensor.dtype != torch.uint8 or tensor.ndim != 3 or tensor.shape[0] != 3:
        raise invalid("pixels", f"must be UINT8 (3, height, width), not {tuple(tensor.shape)}")
    _check_sides("pixels", tensor, factor)
    return tensor


def _check_sides(name: str, tensor: Tensor, factor: int) -> None:
    height, width = tensor.shape[1:]
    if not height or not width or height % factor or width % factor:
        raise invalid(name, f"must have sides that are multiples of {factor}, not {width} x {height}; pad it")
    _not_too_large(name, height * width)


def _check_depth(tensor: Tensor) -> None:
    if tensor.tolist() != [_DEPTH]:
        raise invalid("depth", f"must be {_DEPTH}; leave it out for a picture in [-1, 1]")


def _latents(tensor: Tensor, space: LatentSpace) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.shape[0] != space.channels:
        raise invalid("latents", f"must be FP32 ({space.channels}, height, width), not {tuple(tensor.shape)}")
    if not tensor.numel():
        raise invalid("latents", f"must not be empty; they are {tuple(tensor.shape)}")
    _not_too_large("latents", tensor.shape[1] * tensor.shape[2] * space.factor**2)
    if not bool(torch.isfinite(tensor).all()):
        raise invalid("latents", "must hold finite numbers only")
    return tensor


def _not_too_large(name: str, pixels: int) -> None:
    if pixels > LARGEST:
        raise invalid(
            name, f"stands for {pixels} pixels; at most {LARGEST} are taken: choose a smaller working size"
        )
