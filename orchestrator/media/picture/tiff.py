"""Writes TIFF: RGB of 8 or 16 bits, with or without alpha, losslessly compressed.

Pillow cannot write 16 bits per colour and OpenCV cannot write a profile, so the strips are written here;
Pillow writes the directory that describes them.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from isal import isal_zlib
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from orchestrator.media.picture.exif import CAMERA, GPS, load_exif
from orchestrator.media.picture.strips import EFFORT, map_threads, strip_height

_LONG, _UNDEFINED = 4, 7
_DEFLATE, _RGB, _CHUNKY, _DIFFERENCES, _UNASSOCIATED, _UNSIGNED = 8, 2, 1, 2, 2, 1


def write_tiff(
    pixels: np.ndarray, alpha: np.ndarray | None, *, icc: bytes | None = None, exif: bytes | None = None
) -> bytes:
    """Encodes TIFF: RGB (height, width, 3), uint8 or uint16, and alpha (height, width) of the same type."""
    height, width = pixels.shape[:2]
    samples = 3 if alpha is None else 4
    rows = strip_height(width * samples * pixels.itemsize)
    strips = list(map_threads(range(0, height, rows), lambda top: _strip(pixels, alpha, top, rows)))
    counts = [len(strip) for strip in strips]
    # Pillow counts the strips' offsets from the end of the directory, where it expects them to follow.
    offsets = tuple(accumulate(counts[:-1], initial=0))

    directory = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    found = load_exif(exif)
    for tag, value in found.items():
        directory[tag] = found.get_ifd(tag) if tag in (CAMERA, GPS) else value
    directory.tagtype[273] = directory.tagtype[279] = _LONG
    directory[256], directory[257] = width, height
    directory[258] = (pixels.itemsize * 8,) * samples
    directory[259], directory[262], directory[284] = _DEFLATE, _RGB, _CHUNKY
    directory[273], directory[278], directory[279] = offsets, rows, tuple(counts)
    directory[277], directory[339], directory[317] = samples, (_UNSIGNED,) * samples, _DIFFERENCES
    if alpha is not None:
        directory[338] = _UNASSOCIATED
    if icc is not None:
        directory.tagtype[34675] = _UNDEFINED
        directory[34675] = icc
    return b"".join((b"II*\0\x08\0\0\0", directory.tobytes(8), *strips))


def _strip(pixels: np.ndarray, alpha: np.ndarray | None, top: int, rows: int) -> bytes:
    strip = pixels[top : top + rows]
    if alpha is not None:
        strip = np.dstack((strip, alpha[top : top + rows]))
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]  # neighbours are similar, so their differences compress well
    return isal_zlib.compress(differences.astype(strip.dtype.newbyteorder("<"), copy=False), EFFORT)
