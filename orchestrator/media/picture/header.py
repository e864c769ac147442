"""Headers of picture files: the memory that a picture will take, known before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from orchestrator.media.picture.formats import FORMATS, format_of
from orchestrator.media.picture.levels import bits_of
from orchestrator.media.picture.picture import PictureLimits, check_size, parsing

# Bytes of a pixel in Pillow's memory by mode; all others take 4.
_PILLOW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Modes that are read as they are; others are converted to an image of 4 bytes a pixel before.
_PLAIN = ("1", "L", "LA", "RGB", "RGBA", "RGBX", "I", "F")
_CONVERTED = 4
# What decoders hold beside Pillow's image, for each pixel: WebP two canvases, a frame and its alpha; AVIF and
# HEIF planes of up to 12 bits, and their colours. JPEG holds coefficients of two bytes for each component, in
# blocks, if they come in several passes or scans.
_DECODERS = {"WEBP": 14, "AVIF": 16, "HEIF": 12}
_COEFFICIENT, _BLOCKS = 2, 32
_TILE_WIDTH, _TILE_HEIGHT, _STRIP_ROWS, _SAMPLE_BITS, _SAMPLES = 322, 323, 278, 258, 277
# How often a file is in memory; and what any decoding takes, in bands of rows.
_COPIES, _FIXED = {"WEBP": 3}, 12 << 20


@dataclass(frozen=True)
class PictureHeader:
    """What a file says about its picture. `levels`: bytes of a level, 1 or 2; `decoding`: bytes that are
    needed beside the picture while it is decoded."""

    width: int
    height: int
    levels: int
    decoding: int
    format: str

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.width * self.height

    @property
    def needed(self) -> int:
        """The most bytes that are taken at any moment until the picture is decoded."""
        return self.decoding + self.nbytes

    @property
    def nbytes(self) -> int:
        """The bytes of the decoded picture, with alpha whether it has one or not."""
        return 4 * self.levels * self.pixels


def read_header(path: Path, limits: PictureLimits, *, field: str = "picture") -> PictureHeader:
    """Reads the header of a picture file; raises `InvalidRequest` if there is none, or if the
    picture is larger than the limits."""
    with parsing(field), open(path, "rb") as file:
        opening = file.read(32)
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            check_size(width, height, limits, field)
            deep = image.mode.startswith("I;16") or image.mode in ("I", "F")
            deep = deep or (bits_of(image, opening) == 16 and image.mode in ("RGB", "RGBA"))
            levels, format = 2 if deep else 1, format_of(image)
            pillow = _PILLOW.get(image.mode, 4) * width * height
            converted = 0 if deep or image.mode in _PLAIN else _CONVERTED * width * height
            picture = 4 * levels * width * height
            # The decoder has ended before there are levels. To be turned upright these are copied once more,
            # as OpenCV does when it reads 16 bits.
            beside = max(converted, picture, _decoder_bytes(image, format) - picture)
            file_bytes = path.stat().st_size * _COPIES.get(format, 1)
            return PictureHeader(width, height, levels, _FIXED + file_bytes + pillow + beside, format)


def _decoder_bytes(image: Image.Image, format: str) -> int:
    """What the decoder of this format holds."""
    width, height = image.size
    if format in _DECODERS:
        return _DECODERS[format] * width * height
    if format == "JPEG":
        return _COEFFICIENT * len(image.getbands()) * (width + _BLOCKS) * (height + _BLOCKS)
    if format == "TIFF":
        return _strip_bytes(image)
    return 0


def _strip_bytes(image: Image.Image) -> int:
    """A strip or a tile of a TIFF, which is decoded as a whole; a tile may be larger than the picture."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    width = tags.get(_TILE_WIDTH, image.width)
    height = tags.get(_TILE_HEIGHT) or min(tags.get(_STRIP_ROWS, image.height), image.height)
    bits = tags.get(_SAMPLE_BITS, 1)
    samples = tags.get(_SAMPLES, 1)
    # Colours that are not stored as RGB are decoded to 4 bytes a pixel.
    return int(width * height * max(4, samples * (max(bits) if isinstance(bits, tuple) else bits) / 8))
