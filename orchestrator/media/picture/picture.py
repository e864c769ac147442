"""Pictures: decodes picture files, within limits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from intarsia.errors import Busy, IntarsiaError, InvalidRequest
from orchestrator.media.picture.formats import FORMATS, format_of, refusal, unknown
from orchestrator.media.picture.levels import levels_of
from orchestrator.media.picture.metadata import (
    exif_of,
    icc_of,
    orientation_of,
    resolution_of,
    texts_of,
    upright,
)
from store.media_type import OPENING, UNKNOWN, recognise

# Pillow's own limit is global, lower than ours, and at first only a warning. `decode` compares the header
# with its own limits before it reads any pixel.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class PictureLimits:
    """The largest picture that is read: millions of pixels in total, and pixels per side."""

    megapixels: float = 80.0
    side: int = 65500

    @property
    def file_bytes(self) -> int:
        """The largest size of a picture file: twice that of 16-bit levels with alpha, plus metadata."""
        return int(self.megapixels * 1e6) * 16 + (64 << 20)


DEFAULT_LIMITS = PictureLimits()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright. Decoded pictures are shared, so their arrays are read-only.

    `pixels` are RGB (height, width, 3), uint8 or uint16 as in the file; `alpha` is (height, width) of the
    same type, or None. `icc` is the colour profile of the RGB values, None for sRGB. `exif` holds what
    describes the picture (as `Exif\\0\\0` and a TIFF), without orientation and thumbnail. `format` is the
    file's (see `formats.py`), and `bits` its bits per level. `notes` say what was converted.
    `resolution` is in pixels per inch, across and down; `texts` are those of a PNG file, by keyword.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    exif: bytes | None
    format: str
    bits: int
    notes: tuple[str, ...] = ()
    resolution: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def rgb8(self) -> np.ndarray:
        """The pixels as uint8, for models; the same array if they are uint8 already."""
        return eight_bits(self.pixels)


def decode(data: bytes, limits: PictureLimits = DEFAULT_LIMITS, *, field: str = "picture") -> Picture:
    """Decodes a picture file; of several pages the first.

    A file that cannot be decoded raises `InvalidRequest` for `field`, with the reason.
    """
    check_kind(data, field)
    with parsing(field), Image.open(BytesIO(data), formats=FORMATS) as image:
        check_size(image.width, image.height, limits, field)
        notes = ["only the first page of the file is used"] if getattr(image, "is_animated", False) else []
        image.load()
        found = levels_of(image, data)
        orientation = orientation_of(image)
        exif, exif_notes = exif_of(image)
        icc, icc_notes = icc_of(image, kept=found.in_profile)
        texts, text_notes = texts_of(image)
        return Picture(
            pixels=_read_only(upright(found.pixels, orientation)),
            alpha=None if found.alpha is None else _read_only(upright(found.alpha, orientation)),
            icc=icc,
            exif=exif,
            format=format_of(image),
            bits=found.bits,
            notes=(*notes, *found.notes, *exif_notes, *icc_notes, *text_notes),
            resolution=resolution_of(image, orientation),
            texts=texts,
        )


def check_kind(data: bytes, field: str) -> None:
    """Rejects a file that is not a supported picture, by its first bytes; the rest is not read."""
    kind = recognise(data[:OPENING])
    if not data:
        raise InvalidRequest("the picture is a file of 0 bytes", field=field)
    if kind == UNKNOWN:
        raise InvalidRequest(unknown(), field=field)
    if kind.startswith("video/"):
        raise InvalidRequest(
            f"this is a clip ({kind}), not a picture; send a picture, or follow a region through the clip "
            "with track_region",
            field=field,
        )
    if refused := refusal(kind):
        raise InvalidRequest(refused, field=field)
    # Pillow does not recognise a PNG without pixels as a PNG.
    if kind == "image/png" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if not (width and height):
            raise InvalidRequest(f"the picture has no pixels: it is {width} x {height}", field=field)


def check_size(
    width: int, height: int, limits: PictureLimits, field: str, *, what: str = "the picture"
) -> None:
    """Rejects a picture with more pixels than the limits allow."""
    if max(width, height) > limits.side:
        raise InvalidRequest(
            f"{what} is {width} x {height}, at most {limits.side} pixels a side are read; scale it down",
            field=field,
        )
    if width * height > limits.megapixels * 1e6:
        raise InvalidRequest(
            f"{what} is {width} x {height}, {width * height / 1e6:.1f} megapixels; "
            f"at most {limits.megapixels:g} are read here; scale it down, or raise the server's limit",
            field=field,
        )


def check_length(length: int, limits: PictureLimits, field: str) -> None:
    """Rejects a file that is longer than any picture within the limits."""
    if length > limits.file_bytes:
        raise InvalidRequest(
            f"the file has {length} bytes; at most {limits.megapixels:g} megapixels are read here, and need "
            f"at most {limits.file_bytes} bytes; scale the picture down, or save it again as PNG",
            field=field,
        )


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """Converts levels to uint8: uint16 is rounded to the nearest of 256 levels."""
    return levels if levels.dtype == np.uint8 else cv2.convertScaleAbs(levels, alpha=1 / 257)


def in_depth(levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts levels to uint8 or uint16; returns the same array if they have that type already."""
    if levels.dtype == dtype:
        return levels
    return eight_bits(levels) if dtype == np.uint8 else levels.astype(np.uint16) * 257


def _read_only(levels: np.ndarray) -> np.ndarray:
    levels.setflags(write=False)
    return levels


@contextmanager
def parsing(field: str) -> Iterator[None]:
    """Turns any exception of a parser into `InvalidRequest`: the bytes come from a user.

    Pillow documents no set of exceptions: damaged files raise OSError, SyntaxError, ValueError,
    struct.error, KeyError, TypeError and others. So this one place catches every exception but our own.
    """
    try:
        yield
    except IntarsiaError:
        raise
    except MemoryError as error:
        raise Busy("there is no memory for a picture of this size now; try again later") from error
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "the picture's header is damaged, or its format is not supported; save it again as PNG",
            field=field,
        ) from error
    except Exception as error:
        raise InvalidRequest(
            f"the picture is damaged or cut off ({type(error).__name__}: {str(error)[:200]}); send it again",
            field=field,
        ) from error
