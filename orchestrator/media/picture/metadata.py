"""Metadata of a picture: orientation, EXIF, colour profile, resolution and texts."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from orchestrator.media.picture.exif import CAMERA, COMMENT, DESCRIPTION, GPS, load_exif
from orchestrator.media.picture.parameters import KEYWORD, is_ours

_ORIENTATION = 0x0112
_ACROSS, _DOWN, _UNIT, _INCH = 0x011A, 0x011B, 0x0128, 2
# Tags that describe the picture. All others in the first directory describe its file.
_PICTURE_TAGS = (
    DESCRIPTION,
    0x010F,  # make
    0x0110,  # model
    _ACROSS,  # resolution
    _DOWN,
    _UNIT,
    0x0131,  # software
    0x0132,  # date and time
    0x013B,  # artist
    0x8298,  # copyright
)
# Sides of the picture before it was rotated upright, and a pointer into the old file.
_STALE = (0xA002, 0xA003, 0xA005)

# Texts of a PNG file that say what an edit makes untrue, such as its orientation, or that are kept elsewhere.
_OTHER_TEXTS = ("XML:com.adobe.xmp", "Raw profile type ", KEYWORD)
_TEXT_BYTES = 1 << 20  # of all texts that are kept

# By orientation: swap rows and columns, then flip rows, then flip columns.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of the loaded pixels, 1 to 8. Pillow rotates TIFF itself while loading it."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow parses EXIF late, and documents no set of exceptions
        return 1
    return found if found in _TURNS else 1


def upright(levels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotates and mirrors levels (height, width, ...) as an EXIF orientation says."""
    if orientation not in _TURNS:
        return levels
    swap, rows, columns = _TURNS[orientation]
    turned = levels.swapaxes(0, 1) if swap else levels
    turned = turned[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(turned)


def exif_of(image: Image.Image) -> tuple[bytes | None, list[str]]:
    """The EXIF data that describe the picture, and notes.

    What an edit makes untrue is left out: orientation, thumbnail, and parameters that this program wrote.
    """
    try:
        found = image.getexif()
        kept = Image.Exif()
        for tag in _PICTURE_TAGS:
            if tag in found and not (tag == DESCRIPTION and is_ours(found[tag])):
                kept[tag] = found[tag]
        for directory in (CAMERA, GPS):
            entries = {tag: value for tag, value in found.get_ifd(directory).items() if tag not in _STALE}
            if is_ours(entries.get(COMMENT)):
                del entries[COMMENT]
            if entries:
                kept[directory] = entries
        return (kept.tobytes() if len(kept) else None), []
    except Exception:  # as above; a picture is worth editing without its EXIF
        return None, ["EXIF data are damaged and were left out"]


def icc_of(image: Image.Image, *, kept: bool) -> tuple[bytes | None, list[str]]:
    """The colour profile, if it applies: one for RGB, of pixels that were not converted; and notes."""
    icc = image.info.get("icc_profile")
    if not icc or not kept:
        return None, []
    if len(icc) < 128 or icc[36:40] != b"acsp":
        return None, ["the colour profile is damaged and was left out"]
    if icc[16:20] != b"RGB ":
        return None, ["the colour profile is not one for RGB and was left out"]
    return icc, []


def with_resolution(exif: bytes | None, resolution: tuple[float, float] | None) -> bytes | None:
    """EXIF data that hold pixels per inch, for files that have no other place for them."""
    if resolution is None:
        return exif
    kept = load_exif(exif)
    if _ACROSS not in kept:
        kept[_ACROSS], kept[_DOWN] = (
            IFDRational(Fraction(value).limit_denominator(1000)) for value in resolution
        )
        kept[_UNIT] = _INCH
    return kept.tobytes()


def holds_gps(exif: bytes | None) -> bool:
    """True if EXIF data say where the picture was taken."""
    return exif is not None and GPS in load_exif(exif)


def without_gps(exif: bytes | None) -> bytes | None:
    """EXIF data without the place where the picture was taken."""
    if not holds_gps(exif):
        return exif
    kept = load_exif(exif)
    del kept[GPS]
    return kept.tobytes() if len(kept) else None


def resolution_of(image: Image.Image, orientation: int) -> tuple[float, float] | None:
    """Pixels per inch of the upright picture, across and down; None if the file does not say."""
    try:
        across, down = map(float, image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # not said, or nonsense
        return None
    if not all(isfinite(value) and 1 <= value <= 1e6 for value in (across, down)):
        return None
    return (down, across) if _TURNS.get(orientation, (False,))[0] else (across, down)


def texts_of(image: Image.Image) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The texts of a PNG file by keyword, such as its author; and notes."""
    found = getattr(image, "text", {}) if image.format == "PNG" else {}
    kept = [(key, str(text)) for key, text in found.items() if not key.startswith(_OTHER_TEXTS)]
    size = 0
    for number, (key, text) in enumerate(kept):
        size += len(key) + len(text.encode("utf-8", "replace"))
        if size > _TEXT_BYTES:
            return tuple(kept[:number]), [f"{len(kept) - number} long texts of the file were left out"]
    return tuple(kept), []
