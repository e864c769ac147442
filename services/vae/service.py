"""The service `vae`: the VAEs of all families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from services import json_text
from services.bundles.bundle import Bundle
from services.bundles.shared import load_shared
from services.refusal import Refusal, invalid
from services.vae.codec import Codec
from services.vae.tiles import Tiling

LARGEST = 2048 * 2048  # pixels; other requests wait meanwhile, and denoisers make no larger ones
WHITE = 1.001  # the highest value of a picture in [-1, 1], with room for rounding


class Vae:
    """Encodes pictures and decodes latents, for every bundle that has a VAE."""

    inputs = ("family", "picture", "latents")

    def __init__(
        self,
        bundles: Iterable[Bundle],
        device: torch.device,
        dtype: torch.dtype,
        tiling: Tiling | None = None,
    ) -> None:
        def load(bundle: Bundle) -> nn.Module:
            # Some VAEs overflow in half precision; their configs set `force_upcast`.
            full = bundle.config("vae").get("force_upcast", False)
            return bundle.network("vae", device=device, dtype=torch.float32 if full else dtype)

        loaded = load_shared(bundles, "vae", load)
        self._codecs = {item.bundle.name: Codec(item.network, tiling or Tiling()) for item in loaded}
        self._digests = {item.bundle.name: item.digest for item in loaded}

    def facts(self) -> dict[str, Any]:
        """What is loaded, by family: `factor` pixels to a latent, and the scale latents carry."""
        return {
            "families": {
                name: {
                    "weights": self._digests[name],
                    "channels": codec.channels,
                    "factor": codec.factor,
                    "scale": codec.scale,
                }
                for name, codec in self._codecs.items()
            }
        }

    def probe(self) -> None:
        """Encode and decode a few grey pixels for every family."""
        for codec in self._codecs.values():
            encoded, _ = codec.encode(torch.zeros(3, 2 * codec.factor, 2 * codec.factor))
            codec.decode(encoded)

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`encoded` and `spread` for a picture, `decoded` for latents."""
        if "family" not in request:
            raise invalid("family", "is missing")
        codec = self._family(json_text.text("family", request["family"]))
        if ("picture" in request) == ("latents" in request):
            raise invalid(
                "picture", "or latents must be given: a picture to encode, latents to decode, not both"
            )
        if "picture" in request:
            encoded, spread = codec.encode(_picture(request["picture"], codec.factor))
            return {"encoded": encoded, "spread": spread}
        return {"decoded": codec.decode(_latents(request["latents"], codec))}

    def _family(self, name: str) -> Codec:
        if name not in self._codecs:
            raise Refusal(
                "NOT_FOUND", f"family {name[:64]!r} is not loaded here; loaded: {', '.join(self._codecs)}"
            )
        return self._codecs[name]


def _picture(tensor: Tensor, factor: int) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.shape[0] != 3:
        raise invalid("picture", f"must be FP32 (3, height, width), not {tuple(tensor.shape)}")
    height, width = tensor.shape[1:]
    if not height or not width or height % factor or width % factor:
        raise invalid(
            "picture", f"must have sides that are multiples of {factor}, not {width} x {height}; pad it"
        )
    _not_too_large("picture", height * width)
    if not bool((tensor.abs() <= WHITE).all()):  # false for NaN, too
        raise invalid("picture", "must hold values in [-1, 1]; divide bytes by 127.5 and subtract 1")
    return tensor


def _latents(tensor: Tensor, codec: Codec) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.shape[0] != codec.channels:
        raise invalid("latents", f"must be FP32 ({codec.channels}, height, width), not {tuple(tensor.shape)}")
    if not tensor.numel():
        raise invalid("latents", f"must not be empty; they are {tuple(tensor.shape)}")
    _not_too_large("latents", tensor.shape[1] * tensor.shape[2] * codec.factor**2)
    if not bool(torch.isfinite(tensor).all()):
        raise invalid("latents", "must hold finite numbers only")
    return tensor


def _not_too_large(name: str, pixels: int) -> None:
    if pixels > LARGEST:
        raise invalid(
            name, f"stands for {pixels} pixels; at most {LARGEST} are taken: choose a smaller working size"
        )
