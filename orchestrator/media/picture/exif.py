"""EXIF data: as bytes that begin with `Exif\\0\\0` and a TIFF, and the tags that we look at."""

from __future__ import annotations

from PIL import Image

DESCRIPTION, COMMENT = 0x010E, 0x9286
# Tags of the first directory that hold directories of their own.
CAMERA, GPS = 0x8769, 0x8825


def load_exif(exif: bytes | None) -> Image.Exif:
    """The entries of EXIF data, by tag; of None, there are none."""
    found = Image.Exif()
    if exif is not None:
        found.load(exif)
    return found
