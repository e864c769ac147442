"""Writes PNG: grey, RGB or RGBA of 8 or 16 bits, on all cores.

Rows are compressed in strips. Each strip ends at a byte boundary and refers to no data before it, so strips
compressed in parallel, or at another time, can be concatenated to one stream.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from isal import isal_zlib

from orchestrator.media.picture.strips import EFFORT, map_threads, strip_height

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # by the number of channels
_LEFT, _ABOVE = 1, 2  # filters: levels are stored as differences to the neighbour on that side

_STREAM_HEADER, _STREAM_END = b"\x78\x01", b"\x03\x00"  # a zlib header; an empty last block
_ADLER_PRIME = 65521


@dataclass(frozen=True)
class Strip:
    """A compressed strip as a chunk of the file, with checksum and length of its filtered bytes."""

    chunk: bytes
    adler: int
    length: int


class PngWriter:
    """Writes a PNG strip by strip, so that it is never in memory as a whole.

    Every method returns the next bytes of the file: `begin`, then `write` for all rows from the top down,
    then `end`.
    """

    def __init__(self, width: int, height: int, channels: int, dtype: type[np.unsignedinteger]) -> None:
        self._width, self._height, self._channels = width, height, channels
        self._bits = 8 * np.dtype(dtype).itemsize
        self._above: np.ndarray | None = None
        self._adler = 1

    def begin(self, *extra: bytes) -> bytes:
        """Returns the header, with further chunks after it."""
        kind = (self._bits, _COLOUR_TYPES[self._channels], 0, 0, 0)
        header = chunk(b"IHDR", struct.pack(">II5B", self._width, self._height, *kind))
        return b"".join((SIGNATURE, header, *extra, chunk(b"IDAT", _STREAM_HEADER)))

    def write(self, band: np.ndarray) -> Iterator[bytes]:
        """Yields the next rows, (any height, width, channels) or (any height, width) for grey, in pieces."""
        for strip in map_threads(self._strips(band), lambda strip: compress_strip(*strip)):
            yield self.add(strip)

    def add(self, strip: Strip) -> bytes:
        """Returns the next rows, which are compressed already."""
        self._adler = _combine_adler(self._adler, strip.adler, strip.length)
        return strip.chunk

    def end(self) -> bytes:
        """Returns the bytes after the last row."""
        return chunk(b"IDAT", _STREAM_END + struct.pack(">I", self._adler)) + chunk(b"IEND", b"")

    def _strips(self, band: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields the rows of each strip, and the row above."""
        for rows in strips_of(len(band), band[:1].nbytes):
            yield band[rows], self._above
            self._above = band[rows.stop - 1].copy()


def write_png(sheet: np.ndarray, *extra: bytes) -> bytes:
    """Encodes PNG: grey (height, width), RGB or RGBA (height, width, 3 or 4); `extra` follows its header."""
    height, width = sheet.shape[:2]
    writer = PngWriter(width, height, sheet.shape[2] if sheet.ndim == 3 else 1, sheet.dtype.type)
    return b"".join((writer.begin(*extra), *writer.write(sheet), writer.end()))


def strips_of(height: int, row_bytes: int) -> list[slice]:
    """Splits so many rows, of so many bytes each, into strips."""
    step = strip_height(row_bytes)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def compress_strip(levels: np.ndarray, above: np.ndarray | None) -> Strip:
    """Compresses a strip of rows, (height, width, ...), below the row `above`, None for the topmost."""
    pixel = levels.itemsize * (levels.shape[2] if levels.ndim == 3 else 1)
    rows = _bytes(levels).reshape(len(levels), -1)
    filtered = _filter(rows, np.zeros_like(rows[0]) if above is None else _bytes(above).ravel(), pixel)
    compressor = isal_zlib.compressobj(EFFORT, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    data = compressor.compress(filtered) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return Strip(chunk(b"IDAT", data), isal_zlib.adler32(filtered), filtered.size)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)))


def _bytes(levels: np.ndarray) -> np.ndarray:
    """Levels in the file's byte order: the upper byte first."""
    return np.ascontiguousarray(levels, levels.dtype.newbyteorder(">")).view(np.uint8)


def _filter(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Filters rows: differences to the pixel on the left or above, whichever compress better."""
    left = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    left[:, 0] = _LEFT
    left[:, 1 : 1 + pixel] = rows[:, :pixel]
    np.subtract(rows[:, pixel:], rows[:, :-pixel], out=left[:, 1 + pixel :])
    upper = np.empty_like(left)
    upper[:, 0] = _ABOVE
    np.subtract(rows[0], above, out=upper[0, 1:])
    np.subtract(rows[1:], rows[:-1], out=upper[1:, 1:])
    return min(left, upper, key=_filter_cost)


def _filter_cost(filtered: np.ndarray) -> float:
    """The sum of absolute differences, which wrap around at 256."""
    return cv2.norm(filtered.view(np.int8), cv2.NORM_L1)


def _combine_adler(adler: int, further: int, length: int) -> int:
    """The Adler-32 of two byte strings joined, from the Adler-32 of each; `length` is the second one's."""
    low = (adler & 0xFFFF) + (further & 0xFFFF) - 1
    high = (adler >> 16) + (further >> 16) + length * ((adler & 0xFFFF) - 1)
    return high % _ADLER_PRIME << 16 | low % _ADLER_PRIME
