"""Writing PNG: grey, RGB or RGBA of 8 or 16 bits, on all cores.

The rows are packed in strips. Each ends at a whole byte and looks back at nothing before it, so strips that
were packed apart, or at another time, make one stream when they are laid end to end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from isal import isal_zlib

from orchestrator.media.picture.strips import EFFORT, each, strip_height

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {1: 0, 3: 2, 4: 6}  # channels: the format's word for them
_LEFT, _ABOVE = 1, 2  # filters: each level is told by its difference to a neighbour's

_STREAM_OPENS, _STREAM_CLOSES = b"\x78\x01", b"\x03\x00"  # a zlib header; an empty last block
_ADLER_PRIME = 65521


@dataclass(frozen=True)
class Strip:
    """A packed strip as a chunk of the file, and what its filtered bytes add to the stream's checksum."""

    chunk: bytes
    adler: int
    length: int


class PngWriter:
    """A PNG that is written strip by strip, and need never be there as a whole.

    Every method answers the next bytes of the file: `begin`, then `write` for all rows from the top down,
    then `end`.
    """

    def __init__(self, width: int, height: int, channels: int, dtype: type[np.unsignedinteger]) -> None:
        self._width, self._height, self._channels = width, height, channels
        self._bits = 8 * np.dtype(dtype).itemsize
        self._above: np.ndarray | None = None
        self._adler = 1

    def begin(self, *extra: bytes) -> bytes:
        """The header, with further chunks after it."""
        kind = (self._bits, _COLOURS[self._channels], 0, 0, 0)
        header = chunk(b"IHDR", struct.pack(">II5B", self._width, self._height, *kind))
        return b"".join((SIGNATURE, header, *extra, chunk(b"IDAT", _STREAM_OPENS)))

    def write(self, band: np.ndarray) -> Iterator[bytes]:
        """The next rows, (any height, width, channels) or (any height, width) for grey, piece by piece."""
        for strip in each(self._strips(band), lambda strip: packed(*strip)):
            yield self.add(strip)

    def add(self, strip: Strip) -> bytes:
        """The next rows, packed already."""
        self._adler = _continued(self._adler, strip.adler, strip.length)
        return strip.chunk

    def end(self) -> bytes:
        """What comes after the last row."""
        return chunk(b"IDAT", _STREAM_CLOSES + struct.pack(">I", self._adler)) + chunk(b"IEND", b"")

    def _strips(self, band: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Rows strip by strip, each with the row above."""
        for rows in strips_of(len(band), band[:1].nbytes):
            yield band[rows], self._above
            self._above = band[rows.stop - 1].copy()


def write_png(sheet: np.ndarray, *extra: bytes) -> bytes:
    """A whole PNG: grey (height, width), RGB or RGBA (height, width, 3 or 4); `extra` follows its header."""
    height, width = sheet.shape[:2]
    writer = PngWriter(width, height, sheet.shape[2] if sheet.ndim == 3 else 1, sheet.dtype.type)
    return b"".join((writer.begin(*extra), *writer.write(sheet), writer.end()))


def strips_of(height: int, row_bytes: int) -> list[slice]:
    """The rows of each strip of so many rows of so many bytes."""
    step = strip_height(row_bytes)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def packed(levels: np.ndarray, above: np.ndarray | None) -> Strip:
    """A strip of rows, (height, width, ...), below the row `above`, or None for the topmost."""
    pixel = levels.itemsize * (levels.shape[2] if levels.ndim == 3 else 1)
    rows = _bytes(levels).reshape(len(levels), -1)
    filtered = _filtered(rows, np.zeros_like(rows[0]) if above is None else _bytes(above).ravel(), pixel)
    packer = isal_zlib.compressobj(EFFORT, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    data = packer.compress(filtered) + packer.flush(isal_zlib.Z_FULL_FLUSH)
    return Strip(chunk(b"IDAT", data), isal_zlib.adler32(filtered), filtered.size)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)))


def _bytes(levels: np.ndarray) -> np.ndarray:
    """Levels as the file has them: the upper byte first."""
    return np.ascontiguousarray(levels, levels.dtype.newbyteorder(">")).view(np.uint8)


def _filtered(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Rows as differences to the pixel to the left or above, whichever leaves less to be packed."""
    left = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    left[:, 0] = _LEFT
    left[:, 1 : 1 + pixel] = rows[:, :pixel]
    np.subtract(rows[:, pixel:], rows[:, :-pixel], out=left[:, 1 + pixel :])
    upper = np.empty_like(left)
    upper[:, 0] = _ABOVE
    np.subtract(rows[0], above, out=upper[0, 1:])
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
