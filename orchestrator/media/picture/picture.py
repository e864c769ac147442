"""Pictures: what is kept of a picture file once it is read, and reading it."""

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
from orchestrator.media.picture.levels import levels_of
from orchestrator.media.picture.metadata import exif_of, icc_of, orientation_of, upright
from store.media_type import OPENING, UNKNOWN, recognise

# Pillow's own limit is one for the whole process, below ours, and a mere warning at first. `decode`
# compares the header with the limits it was given before a single pixel is read.
Image.MAX_IMAGE_PIXELS = None

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/tiff": "TIFF"}


@dataclass(frozen=True)
class Limits:
    """The largest picture that is read: millions of pixels in all, pixels along a side."""

    megapixels: float = 80.0
    side: int = 65500

    @property
    def file_bytes(self) -> int:
        """The most a picture file may have: every level of 16 bits, alpha too, twice over, and metadata."""
        return int(self.megapixels * 1e6) * 16 + (64 << 20)


USUAL = Limits()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright. Read from a file it is shared: its arrays cannot be written to.

    `pixels` are RGB (height, width, 3), uint8 or uint16 as in the file; `alpha` is (height, width) of the
    same type, or None. `icc` is the profile the RGB values are meant in, None for sRGB. `exif` holds what
    describes the picture (as `Exif\\0\\0` and a TIFF), without orientation and thumbnail. `format` is the
    file's, PNG, JPEG, WEBP or TIFF, and `bits` its bits per level. `notes` say what was converted.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    exif: bytes | None
    format: str
    bits: int
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def rgb8(self) -> np.ndarray:
        """The pixels as uint8, for models; not a copy if they are that already."""
        return eight_bits(self.pixels)


def decode(data: bytes, limits: Limits = USUAL, *, field: str = "picture") -> Picture:
    """Reads a PNG, JPEG, WebP or TIFF file; of several pages the first.

    Whatever is wrong with the file raises `InvalidRequest` for `field`, saying what.
    """
    check_kind(data, field)
    with _parsing(field), Image.open(BytesIO(data), formats=tuple(_FORMATS.values())) as image:
        check_size(image.width, image.height, limits, field)
        notes = ["only the first page of the file is used"] if getattr(image, "is_animated", False) else []
        image.load()
        found = levels_of(image, data)
        orientation = orientation_of(image)
        exif, exif_notes = exif_of(image)
        icc, icc_notes = icc_of(image, kept=found.in_profile)
        return Picture(
            pixels=_shared(upright(found.pixels, orientation)),
            alpha=None if found.alpha is None else _shared(upright(found.alpha, orientation)),
            icc=icc,
            exif=exif,
            # Phones wrap several JPEGs in one file (MPO).
            format="JPEG" if image.format == "MPO" else str(image.format),
            bits=found.bits,
            notes=(*notes, *found.notes, *exif_notes, *icc_notes),
        )


def check_kind(data: bytes, field: str) -> None:
    """Refuses a file that is no picture of ours, by its first bytes; more than those are not looked at."""
    kind = recognise(data[:OPENING])
    if not data:
        raise InvalidRequest("the picture is a file of 0 bytes", field=field)
    if kind == UNKNOWN:
        raise InvalidRequest("this is not a picture; send PNG, JPEG, WebP or TIFF", field=field)
    if kind.startswith("video/"):
        raise InvalidRequest(
            f"this is a clip ({kind}), not a picture; send PNG, JPEG, WebP or TIFF, or follow a region "
            "through the clip with track_region",
            field=field,
        )
    if kind not in _FORMATS:
        raise InvalidRequest(
            f"pictures of type {kind} are not read; send PNG, JPEG, WebP or TIFF", field=field
        )
    # Pillow takes a PNG without pixels for no PNG at all.
    if kind == "image/png" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if not (width and height):
            raise InvalidRequest(f"the picture has no pixels: it is {width} x {height}", field=field)


def check_size(width: int, height: int, limits: Limits, field: str, *, what: str = "the picture") -> None:
    """Refuses what has more pixels than the limits allow."""
    if max(width, height) > limits.side:
        raise InvalidRequest(
            f"{what} is {width} x {height}, at most {limits.side} pixels a side are read; scale it down",
            field=field,
        )
    if width * height > limits.megapixels * 1e6:
        raise InvalidRequest(
            f"{what} is {width} x {height}, {width * height / 1e6:.1f} megapixels; "
            f"at most {limits.megapixels:g} are read here; scale it down, or let the server read more",
            field=field,
        )


def check_length(length: int, limits: Limits, field: str) -> None:
    """Refuses a file that is longer than any picture within the limits."""
    if length > limits.file_bytes:
        raise InvalidRequest(
            f"the file has {length} bytes; a picture of {limits.megapixels:g} megapixels, and more are not "
            f"read here, needs at most {limits.file_bytes}; scale it down, or save it anew as PNG",
            field=field,
        )


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """uint8 as it is, uint16 rounded to the nearest of 256 levels."""
    return levels if levels.dtype == np.uint8 else cv2.convertScaleAbs(levels, alpha=1 / 257)


def in_depth(levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Levels as uint8 or uint16, whichever is asked for; not a copy if they are that already."""
    if levels.dtype == dtype:
        return levels
    return eight_bits(levels) if dtype == np.uint8 else levels.astype(np.uint16) * 257


def _shared(levels: np.ndarray) -> np.ndarray:
    levels.setflags(write=False)
    return levels


@contextmanager
def _parsing(field: str) -> Iterator[None]:
    """Everything a parser may raise over a stranger's bytes is the bytes' fault.

    Pillow documents no set of exceptions: damaged files come out as OSError, SyntaxError, ValueError,
    struct.error, KeyError, TypeError and others. So this one place catches whatever is not ours.
    """
    try:
        yield
    except IntarsiaError:
        raise
    except MemoryError as error:
        raise Busy("there is no memory for a picture of this size now; try again later") from error
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "the picture's header is damaged, or of a kind that is not read; save it anew as PNG", field=field
        ) from error
    except Exception as error:
        raise InvalidRequest(
            f"the picture is damaged or cut off ({type(error).__name__}: {str(error)[:200]}); send it again",
            field=field,
        ) from error
