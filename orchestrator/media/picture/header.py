"""Headers of picture files: the memory that a picture will take, known before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from orchestrator.media.picture.levels import bits_of
from orchestrator.media.picture.picture import FORMATS, PictureLimits, check_size, format_of, parsing

# Bytes a pixel takes while a file is decoded, beside the levels that come out of it. Pillow holds 4; decoders
# of WebP and progressive JPEG hold pixels of their own.
_PILLOW = 4
_DECODER = {"WEBP": 12, "JPEG": 6}
# Modes that are read without conversion, and what others take for it; a colour key is searched in all pixels.
_PLAIN = ("1", "L", "LA", "RGB", "RGBA", "RGBX")
_CONVERTED, _KEYED = 8, 16
# Sixteen bits of colour are read twice; numbers without a white are spread in float64.
_SIXTEEN, _SPREAD = 20, 52


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
    def nbytes(self) -> int:
        """The bytes of the decoded picture, with alpha whether it has one or not."""
        return 4 * self.levels * self.pixels


def read_header(path: Path, limits: PictureLimits, *, field: str = "picture") -> PictureHeader:
    """Reads the header of a PNG, JPEG, WebP or TIFF file; raises `InvalidRequest` if there is none, or if the
    picture is larger than the limits."""
    with parsing(field), open(path, "rb") as file:
        opening = file.read(32)
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            check_size(width, height, limits, field)
            bits, deep = bits_of(image, opening), image.mode.startswith("I;16")
            spread, sixteen = image.mode in ("I", "F"), bits == 16 and image.mode in ("RGB", "RGBA")
            a_pixel = _PILLOW + _DECODER.get(format_of(image), 0)
            a_pixel += 0 if deep or spread or image.mode in _PLAIN else _CONVERTED
            a_pixel += _KEYED if "transparency" in image.info else 0
            a_pixel += _SIXTEEN * sixteen + _SPREAD * spread
            levels = 2 if deep or spread or sixteen else 1
            # Levels are copied once more when the picture is turned upright.
            decoding = path.stat().st_size + (a_pixel + 4 * levels) * width * height
            return PictureHeader(width, height, levels, decoding, format_of(image))
