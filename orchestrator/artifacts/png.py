"""Writing PNG: grey, RGB or RGBA of 8 or 16 bits, band by band, on all cores.

The rows are packed in strips. Each ends at a whole byte and looks back at nothing before it, so strips that
were packed apart make one stream when they are laid end to end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from isal import isal_zlib

from orchestrator.artifacts.strips import EFFORT, each, strip_height

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {1: 0, 3: 2, 4: 6}  # channels: the format's word for them
_LEFT, _ABOVE = 1, 2  # filters: each level is told by its difference to a neighbour's

_STREAM_OPENS, _STREAM_CLOSES = b"\x78\x01", b"\x03\x00"  # a zlib header; an empty last block
_ADLER_PRIME = 65521


class PngWriter:
    """A PNG that is written as its rows come, and never there as a whole.

    Every method answers the next bytes of the file: `begin`, then `write` for all bands from the top down,
    then `end`.
    """

    def __init__(self, width: int, height: int, channels: int, dtype: type[np.unsignedinteger]) -> None:
        self._width, self._height, self._channels = width, height, channels
        self._dtype = np.dtype(dtype)
        self._pixel = channels * self._dtype.itemsize
        self._above = np.zeros((1, width * self._pixel), np.uint8)
        self._adler = 1

    def begin(self, *extra: bytes) -> bytes:
        """The header, with further chunks after it."""
        kind = (8 * self._dtype.itemsize, _COLOURS[self._channels], 0, 0, 0)
        header = chunk(b"IHDR", struct.pack(">II5B", self._width, self._height, *kind))
        return b"".join((SIGNATURE, header, *extra, chunk(b"IDAT", _STREAM_OPENS)))

    def write(self, band: np.ndarray) -> Iterator[bytes]:
        """The next rows, (any height, width, channels) or (any height, width) for grey, piece by piece."""
        for strip in each(self._strips(band), self._packed):
            self._adler = _continued(self._adler, strip.adler, strip.length)
            yield strip.chunk

    def end(self) -> bytes:
        """What comes after the last row."""
        return chunk(b"IDAT", _STREAM_CLOSES + struct.pack(">I", self._adler)) + chunk(b"IEND", b"")

    def _strips(self, band: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Bytes of rows, strip by strip, with those of the row above each."""
        height = strip_height(self._above.size)
        for top in range(0, len(band), height):
            levels = np.ascontiguousarray(band[top : top + height])
            if self._dtype.itemsize > 1:
                levels = levels.astype(">u2")
            rows = levels.view(np.uint8).reshape(len(levels), -1)
            yield self._above, rows
            self._above = rows[-1:].copy()

    def _packed(self, strip: tuple[np.ndarray, np.ndarray]) -> _Strip:
        filtered = _filtered(*strip, self._pixel)
        packer = isal_zlib.compressobj(EFFORT, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        packed = packer.compress(filtered) + packer.flush(isal_zlib.Z_FULL_FLUSH)
        return _Strip(chunk(b"IDAT", packed), isal_zlib.adler32(filtered), filtered.size)


def write_png(sheet: np.ndarray, *extra: bytes) -> bytes:
    """A whole PNG: grey (height, width), RGB or RGBA (height, width, 3 or 4); `extra` follows its header."""
    height, width = sheet.shape[:2]
    writer = PngWriter(width, height, sheet.shape[2] if sheet.ndim == 3 else 1, sheet.dtype.type)
    return b"".join((writer.begin(*extra), *writer.write(sheet), writer.end()))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)))


@dataclass(frozen=True)
class _Strip:
    """A packed strip, and what its filtered bytes add to the stream's checksum."""

    chunk: bytes
    adler: int
    length: int


def _filtered(above: np.ndarray, rows: np.ndarray, pixel: int) -> np.ndarray:
    """Rows as differences to the pixel to the left or above, whichever leaves less to be packed."""
    left = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    left[:, 0] = _LEFT
    left[:, 1 : 1 + pixel] = rows[:, :pixel]
    np.subtract(rows[:, pixel:], rows[:, :-pixel], out=left[:, 1 + pixel :])
    upper = np.empty_like(left)
    upper[:, 0] = _ABOVE
    np.subtract(rows[:1], above, out=upper[:1, 1:])
    np.subtract(rows[1:], rows[:-1], out=upper[1:, 1:])
    return min(left, upper, key=_restlessness)


def _restlessness(filtered: np.ndarray) -> float:
    """How far the differences are from 0 in all; they wrap around at 256."""
    return cv2.norm(filtered.view(np.int8), cv2.NORM_L1)


def _continued(adler: int, further: int, length: int) -> int:
    """Adler-32 of bytes and `length` further ones, from the Adler-32 of either."""
    low = (adler & 0xFFFF) + (further & 0xFFFF) - 1
    high = (adler >> 16) + (further >> 16) + length * ((adler & 0xFFFF) - 1)
    return high % _ADLER_PRIME << 16 | low % _ADLER_PRIME
