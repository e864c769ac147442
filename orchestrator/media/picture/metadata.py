"""Metadata: orientation, EXIF and colour profile of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from orchestrator.media.picture.parameters import COMMENT, DESCRIPTION, is_ours

_ORIENTATION = 0x0112
_EXIF, _GPS = 0x8769, 0x8825
# Tags that describe the picture. All others in the first directory describe its file.
_PICTURE_TAGS = (
    DESCRIPTION,
    0x010F,  # make
    0x0110,  # model
    0x011A,  # resolution across
    0x011B,  # resolution down
    0x0128,  # its unit
    0x0131,  # software
    0x0132,  # date and time
    0x013B,  # artist
    0x8298,  # copyright
)
# Sides of the picture before it was rotated upright, and a pointer into the old file.
_STALE = (0xA002, 0xA003, 0xA005)

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
        for directory in (_EXIF, _GPS):
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
