"""Encodes pictures. Lossless formats keep every value; notes name what a format cannot keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from math import inf
from typing import Any

import cv2
import numpy as np
from PIL import Image

from intarsia.errors import InvalidRequest
from orchestrator.media.picture.change import Change, no_change
from orchestrator.media.picture.formats import WRITTEN, lossless_format
from orchestrator.media.picture.metadata import with_resolution
from orchestrator.media.picture.parameters import parameters_chunks, with_comment, with_description
from orchestrator.media.picture.picture import Picture, eight_bits
from orchestrator.media.picture.png import PngWriter, strips_of
from orchestrator.media.picture.png_metadata import (
    exif_chunks,
    profile_chunks,
    resolution_chunks,
    text_chunks,
)
from orchestrator.media.picture.tiff import write_tiff

_WEBP_SIDE = 16383
_MOST_EXIF = {"JPEG": 65533}  # bytes
_FIELD = "output.format"


@dataclass(frozen=True)
class Encoded:
    """A picture file in pieces, so that large files need not be joined before they are stored."""

    pieces: list[bytes]
    media_type: str
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        """The file as a whole."""
        return b"".join(self.pieces)


def target_format(picture: Picture, format: str | None) -> str:
    """Chooses the format to write a picture in: `format`, else its own if that is lossless, else PNG.

    Raises `InvalidRequest` if that format cannot hold the picture; call it before the work is done.
    """
    target = format or lossless_format(picture.format)
    if target not in WRITTEN:
        raise InvalidRequest(
            f"the format {target!r} cannot be written; choose one of {', '.join(WRITTEN)}", field=_FIELD
        )
    if target == "JPEG" and picture.alpha is not None and not _opaque(picture.alpha):
        raise InvalidRequest(
            "JPEG cannot keep the picture's transparency; choose PNG, TIFF or WebP", field=_FIELD
        )
    if target == "WEBP" and max(picture.width, picture.height) > _WEBP_SIDE:
        raise InvalidRequest(
            f"WebP holds at most {_WEBP_SIDE} pixels a side, the picture is {picture.width} x "
            f"{picture.height}; choose PNG or TIFF",
            field=_FIELD,
        )
    return target


def encode(
    picture: Picture,
    format: str | None = None,
    quality: int = 95,
    parameters: Mapping[str, Any] | None = None,
    change: Change | None = None,
) -> Encoded:
    """Encodes a picture, or a change of it, with its profile, its EXIF, and the parameters it was made with.

    `quality`, 1 to 100, is used for JPEG only.
    """
    target = target_format(picture, format)
    notes = []
    if format is None and picture.format == "JPEG":
        notes.append("written as PNG, since JPEG would change every pixel")
    elif format is None and picture.format != target:
        notes.append(f"written as PNG, since {picture.format} files are read, but not written")
    if picture.pixels.dtype == np.uint16 and target in ("JPEG", "WEBP"):
        notes.append(f"16 bits per level were reduced to 8, all that {target} holds")
    change = change or no_change()
    if target == "PNG":
        return Encoded(_png(picture, parameters, change), "image/png", tuple(notes))
    picture = replace(picture, pixels=change.apply_to(picture.pixels, slice(0, picture.height)))
    exif, left_out = _exif(picture, target, parameters)
    notes += left_out
    if target == "JPEG":
        if picture.alpha is not None:
            notes.append("the alpha channel, opaque everywhere, was left out")
        return Encoded([_jpeg(picture, exif, quality)], "image/jpeg", tuple(notes))
    if target == "WEBP":
        return Encoded([_webp(picture, exif)], "image/webp", tuple(notes))
    data = write_tiff(picture.pixels, picture.alpha, icc=picture.icc, exif=exif)
    return Encoded([data], "image/tiff", tuple(notes))


def _exif(
    picture: Picture, target: str, parameters: Mapping[str, Any] | None
) -> tuple[bytes | None, list[str]]:
    """EXIF data with all that this format has no other place for; and notes."""
    notes, most = [], _MOST_EXIF.get(target, inf)
    if picture.texts:
        notes.append(f"texts of the PNG file were left out: {target} has no space for them")
    exif = with_resolution(picture.exif, picture.resolution)
    if exif is not None and len(exif) > most:
        exif = None
        notes.append(f"EXIF data are too long for {target} and were left out")
    if parameters is None:
        return exif, notes
    add = with_description if target == "TIFF" else with_comment
    extended = add(exif, parameters)
    if extended is not None and len(extended) <= most:
        return extended, notes
    return exif, [
        *notes,
        f"the parameters were not written: {target} has no space for them beside its EXIF data",
    ]


def _png(picture: Picture, parameters: Mapping[str, Any] | None, change: Change) -> list[bytes]:
    extra = [
        *profile_chunks(picture.icc),
        *resolution_chunks(picture.resolution),
        *exif_chunks(picture.exif),
        *text_chunks(picture.texts),
        *parameters_chunks(parameters),
    ]

    def levels_of(rows: slice) -> np.ndarray:
        alpha = None if picture.alpha is None else picture.alpha[rows]
        return _with_alpha(change.apply_to(picture.pixels, rows), alpha)

    channels, dtype = 3 if picture.alpha is None else 4, picture.pixels.dtype
    writer = PngWriter(picture.width, picture.height, channels, dtype.type)
    every = strips_of(picture.height, picture.width * channels * dtype.itemsize)
    return [writer.begin(*extra), *map(writer.add, change.compressed_strips(every, levels_of)), writer.end()]


def _jpeg(picture: Picture, exif: bytes | None, quality: int) -> bytes:
    file = BytesIO()
    # At high quality, colours have the full resolution too.
    Image.fromarray(picture.rgb8).save(
        file,
        "JPEG",
        quality=quality,
        subsampling=0 if quality >= 90 else 2,
        icc_profile=picture.icc,
        exif=exif or b"",
        **({} if picture.resolution is None else {"dpi": picture.resolution}),
    )
    return file.getvalue()


def _webp(picture: Picture, exif: bytes | None) -> bytes:
    alpha = None if picture.alpha is None else eight_bits(picture.alpha)
    file = BytesIO()
    # `exact` keeps colours below transparent pixels; without it they become black.
    Image.fromarray(_with_alpha(picture.rgb8, alpha)).save(
        file, "WEBP", lossless=True, exact=True, icc_profile=picture.icc or b"", exif=exif or b""
    )
    return file.getvalue()


def _with_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    if alpha is None:
        return pixels
    sheet = np.empty((*alpha.shape, 4), pixels.dtype)
    cv2.mixChannels([np.ascontiguousarray(pixels), alpha], [sheet], [0, 0, 1, 1, 2, 2, 3, 3])
    return sheet


def _opaque(alpha: np.ndarray) -> bool:
    return bool((alpha == np.iinfo(alpha.dtype).max).all())
