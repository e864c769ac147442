"""Mask pictures: writes masks as PNG files, and reads them from any picture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from canvas.box import PixelBox
from canvas.mask import apply_threshold, extent, mask_from_picture, resize_mask
from canvas.region import MaskPicture, Polarity
from intarsia.errors import InvalidRequest
from orchestrator.media.picture.change import Change
from orchestrator.media.picture.header import PictureHeader
from orchestrator.media.picture.picture import DEFAULT_LIMITS, Picture, PictureLimits, decode
from orchestrator.media.picture.png import PngWriter, Strip, strips_of

# Bytes of a pixel: a mask that is read from its picture; one that is scaled to the picture's size.
_MASK, _FITTED = 12, 8


def encode_mask(mask: np.ndarray) -> bytes:
    """Encodes a mask (height, width), float32 in [0, 1] or uint8 of 0 and 1, as a grey PNG, white inside."""
    height, width = mask.shape
    box = extent(mask) or PixelBox(0, 0, 1, 1)  # of an empty mask, any window will do
    change = Change(box, cv2.convertScaleAbs(mask[box.window], alpha=255), _black_strips(height, width))
    black = np.broadcast_to(np.uint8(0), mask.shape)
    writer = PngWriter(width, height, 1, np.uint8)
    pieces = map(
        writer.add,
        change.compressed_strips(strips_of(height, width), lambda rows: change.apply_to(black, rows)),
    )
    return b"".join((writer.begin(), *pieces, writer.end()))


@lru_cache(maxsize=16)
def _black_strips(height: int, width: int) -> dict[int, Strip]:
    """The compressed strips of an empty mask of this size, filled as they are needed."""
    return {}


def mask_bytes(header: PictureHeader, pixels: int) -> int:
    """The most bytes that `decode_mask` takes for a file with this header and a picture of so many pixels."""
    fitted = 0 if pixels == header.pixels else _FITTED * pixels
    return max(header.needed, header.nbytes + _MASK * header.pixels) + fitted


def decode_mask(
    data: bytes,
    drawn: MaskPicture,
    width: int,
    height: int,
    limits: PictureLimits = DEFAULT_LIMITS,
    *,
    field: str = "region",
) -> np.ndarray:
    """Decodes a mask for a picture of that size, float32 (height, width) in [0, 1], from a picture file.

    Raises `InvalidRequest` for a mask of another size without `fit`, and for a polarity that needs an alpha
    channel if there is none; `field` is the path of the region.
    """
    picture = decode(data, limits, field=f"{field}.mask.artifact")
    same_size = (picture.width, picture.height) == (width, height)
    if not (same_size or drawn.fit):
        raise InvalidRequest(
            f"the mask is {picture.width} x {picture.height}, the picture {width} x {height}; both must be "
            "of the same size once upright, or `fit` must be set to scale the mask to the picture's size",
            field=f"{field}.mask.artifact",
        )
    mask = _read(picture, drawn.polarity, field)
    if not same_size:
        mask = resize_mask(mask, height, width)
    return mask if drawn.threshold is None else apply_threshold(mask, drawn.threshold)


def _read(picture: Picture, polarity: Polarity, field: str) -> np.ndarray:
    if polarity in (Polarity.WHITE_INSIDE, Polarity.BLACK_INSIDE):
        return mask_from_picture(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY), polarity)
    if picture.alpha is None:
        raise InvalidRequest(
            "the mask has no alpha channel; choose white or black as the inside, or send a mask with alpha",
            field=f"{field}.mask.polarity",
        )
    return mask_from_picture(picture.alpha, polarity)
