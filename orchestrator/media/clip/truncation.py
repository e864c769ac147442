"""Detects clips that were cut off.

Decoders take the end of a file for the end of the clip. But most containers consist of parts with a length,
and a part that would end beyond the end of the file shows that the rest is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from intarsia.errors import InvalidRequest

# Matroska elements whose children are read too: the segment and its clusters.
_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_GIF_ENDS = b";"


def check_complete(path: Path, kind: str, field: str) -> None:
    """Rejects a file of this media type that was cut off, as far as its container shows it."""
    length = path.stat().st_size
    with open(path, "rb") as file:
        if (end := max(_ENDS[kind](file, length), default=length)) > length:
            raise InvalidRequest(
                f"the clip is cut off or damaged: its file has {length} bytes, but a part of it would end at "
                f"{end}; send it again",
                field=field,
            )


def _boxes(file: BinaryIO, length: int) -> Iterator[int]:
    """Yields the end of each box of MP4 and QuickTime."""
    offset = 0
    while offset < length:
        head = _read(file, offset, 16)
        if len(head) < 8:
            return  # a few stray bytes, which do no harm
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8 or not kind.isascii() or not kind.decode().isprintable():
            return  # up to the end of the file (0), or not a box
        offset += size
        yield offset


def _chunks(file: BinaryIO, length: int) -> Iterator[int]:
    """Yields the end of each list of AVI: one, or several in large files."""
    offset = 0
    while len(head := _read(file, offset, 8)) == 8 and head[:4] == b"RIFF":
        (size,) = struct.unpack("<I", head[4:])
        yield offset + size  # some writers count these 8 bytes too, others do not
        offset += 8 + size + size % 2


def _elements(file: BinaryIO, length: int) -> Iterator[int]:
    """Yields the end of each element of Matroska and WebM, down to the blocks that hold the frames.

    Live recordings have no total length, but every block has one.
    """
    offset = 0
    while offset < length:
        head = _read(file, offset, 12)
        name = head[: _digits(head)]
        size = head[len(name) : len(name) + _digits(head[len(name) :])]
        if not name or not size:
            return
        value = int.from_bytes(size, "big") & ((1 << 7 * len(size)) - 1)
        offset += len(name) + len(size)
        if value == (1 << 7 * len(size)) - 1:
            continue  # of unknown length, so its children are read
        yield offset + value
        if name == _SEGMENT:
            length = min(length, offset + value)
        elif name != _CLUSTER:
            offset += value


def _trailer(file: BinaryIO, length: int) -> Iterator[int]:
    """Yields an end beyond the file unless a GIF ends with its trailer, perhaps with a few zeros after it."""
    if not _read(file, max(0, length - 16), 16).rstrip(b"\0").endswith(_GIF_ENDS):
        yield length + 1


def _unknown(file: BinaryIO, length: int) -> Iterator[int]:
    """Yields nothing: streams may end anywhere."""
    return iter(())


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _digits(head: bytes) -> int:
    """The length of a Matroska number in bytes: one, and one per leading zero bit; 0 if it is invalid."""
    return 9 - head[0].bit_length() if head and head[0] else 0


_ENDS = {
    "video/mp4": _boxes,
    "video/quicktime": _boxes,
    "video/x-matroska": _elements,
    "video/webm": _elements,
    "video/x-msvideo": _chunks,
    "image/gif": _trailer,
    "video/mp2t": _unknown,
    "video/mpeg": _unknown,
}
