"""Mask pictures: masks as PNG files, and masks read from any picture."""

from __future__ import annotations

import cv2
import numpy as np

from intarsia.canvas.mask import mask_from_picture
from intarsia.canvas.region import Polarity
from intarsia.errors import InvalidRequest
from orchestrator.artifacts.encode import write_png
from orchestrator.artifacts.picture import USUAL, Limits, decode

_ARTIFACT, _POLARITY = "region.mask.artifact", "region.mask.polarity"


def encode_mask(mask: np.ndarray) -> bytes:
    """A mask, float32 (height, width) in [0, 1], as a PNG of 8-bit grey: white is inside."""
    return write_png(cv2.convertScaleAbs(mask, alpha=255))


def decode_mask(
    data: bytes,
    polarity: Polarity,
    width: int,
    height: int,
    limits: Limits = USUAL,
) -> np.ndarray:
    """A mask for a picture of that size, float32 (height, width) in [0, 1], from a picture file.

    Raises `InvalidRequest` for a mask of another size, and for a polarity that needs an alpha channel
    where there is none.
    """
    picture = decode(data, limits, field=_ARTIFACT)
    if (picture.width, picture.height) != (width, height):
        raise InvalidRequest(
            f"the mask is {picture.width} x {picture.height}, the picture {width} x {height}; both must be "
            "of the same size once upright",
            field=_ARTIFACT,
        )
    if polarity in (Polarity.WHITE_INSIDE, Polarity.BLACK_INSIDE):
        return mask_from_picture(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), polarity)
    if picture.alpha is None:
        raise InvalidRequest(
            "the mask has no alpha channel, so it cannot say what is opaque; "
            "choose white or black as the inside, or send a mask with alpha",
            field=_POLARITY,
        )
    return mask_from_picture(picture.alpha, polarity)
