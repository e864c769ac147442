"""A picture on its way into SAM 2, and the key it is remembered by."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional

# The colours the published weights were trained to expect.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def key_of(picture: Tensor) -> bytes:
    """SHA-256 over the size and the bytes of a picture, uint8 (height, width, 3)."""
    height, width = picture.shape[:2]
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(picture.contiguous().numpy().data)
    return digest.digest()


def prepared(picture: Tensor, size: int) -> Tensor:
    """The picture as the network sees it: (1, 3, size, size), whatever its shape was, colours normalised."""
    values = picture.permute(2, 0, 1)[None].float() / 255
    square = functional.interpolate(
        values, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    mean, deviation = (
        torch.tensor(triple, device=picture.device).view(3, 1, 1) for triple in (_MEAN, _DEVIATION)
    )
    return (square - mean) / deviation
