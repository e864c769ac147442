"""Preprocessing of pictures for networks, and the cache key of a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.bundles.errors import BundleError

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """The input of a network: a square of `size` pixels per side, with colours normalised by these means and
    deviations, by default those of ImageNet."""

    size: int
    mean: Colour = (0.485, 0.456, 0.406)
    deviation: Colour = (0.229, 0.224, 0.225)

    @classmethod
    def of(cls, preprocessor: Mapping[str, Any]) -> Preprocessing:
        """The settings of a `preprocessor_config.json` of transformers."""
        try:
            height, width = (int(preprocessor["size"][edge]) for edge in ("height", "width"))
            mean, deviation = (_triple(preprocessor[name]) for name in ("image_mean", "image_std"))
        except (KeyError, TypeError, ValueError) as problem:
            raise BundleError(
                f"preprocessor_config.json must name size, image_mean and image_std: {problem!r}"
            ) from problem
        if height != width:
            raise BundleError(f"preprocessor_config.json: size must be a square, not {width} x {height}")
        return cls(height, mean, deviation)


def key_of(picture: Tensor) -> bytes:
    """SHA-256 over the size and the bytes of a picture, uint8 (height, width, 3)."""
    height, width = picture.shape[:2]
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(picture.contiguous().numpy().data)
    return digest.digest()


def preprocess(picture: Tensor, settings: Preprocessing) -> Tensor:
    """The input (1, 3, size, size) for a picture, uint8 (height, width, 3) of any size."""
    values = picture.permute(2, 0, 1)[None].float() / 255
    square = functional.interpolate(
        values, size=(settings.size, settings.size), mode="bilinear", align_corners=False, antialias=True
    )
    mean, deviation = (_channels(triple, picture.device) for triple in (settings.mean, settings.deviation))
    return (square - mean) / deviation


@cache
def _channels(triple: Colour, device: torch.device) -> Tensor:
    """A number for each channel, (3, 1, 1). Cached, since to send it to a GPU waits for all work there."""
    return torch.tensor(triple, device=device).view(3, 1, 1)


def _triple(values: Sequence[float]) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
