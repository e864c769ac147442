"""Whether the file of a clip is all there.

Decoders take the end of a file for the end of the clip. But most containers are made of parts that say how
long they are, and a part that reaches beyond the end of the file tells that the rest is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from intarsia.errors import InvalidRequest

# In Matroska: what is looked into, the segment and its clusters.
_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_GIF_ENDS = b";"


def check_whole(path: Path, kind: str, field: str) -> None:
    """Refuses a file of this media type that was cut off, as far as its container tells."""
    length = path.stat().st_size
    with open(path, "rb") as file:
        if (end := max(_ENDS[kind](file, length), default=length)) > length:
            raise InvalidRequest(
                f"the clip is cut off or damaged: its file has {length} bytes, but a part of it would end at "
                f"{end}; send it again",
                field=field,
            )


def _boxes(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the boxes of MP4 and QuickTime end."""
    at = 0
    while at < length:
        head = _read(file, at, 16)
        if len(head) < 8:
            return  # a few stray bytes, which nobody minds
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8 or not kind.isascii() or not kind.decode().isprintable():
            return  # up to the end of the file (0), or no box
        at += size
        yield at


def _chunks(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the lists of AVI end: one, or several in large files."""
    at = 0
    while len(head := _read(file, at, 8)) == 8 and head[:4] == b"RIFF":
        (size,) = struct.unpack("<I", head[4:])
        yield at + size  # some writers count these 8 bytes too, others do not
        at += 8 + size + size % 2


def _elements(file: BinaryIO, length: int) -> Iterator[int]:
    """Where the elements of Matroska and WebM end, down to the blocks that hold the frames.

    Recordings of what was live do not say how long the whole is, but how long every block is.
    """
    at = 0
    while at < length:
        head = _read(file, at, 12)
        name = head[: _digits(head)]
        size = head[len(name) : len(name) + _digits(head[len(name) :])]
        if not name or not size:
            return
        value = int.from_bytes(size, "big") & ((1 << 7 * len(size)) - 1)
        at += len(name) + len(size)
        if value == (1 << 7 * len(size)) - 1:
            continue  # nobody knows, so it is looked into
        yield at + value
        if name == _SEGMENT:
            length = min(length, at + value)
        elif name != _CLUSTER:
            at += value


def _trailer(file: BinaryIO, length: int) -> Iterator[int]:
    """A GIF ends with its trailer, some with a few zeros after it."""
    if not _read(file, max(0, length - 16), 16).rstrip(b"\0").endswith(_GIF_ENDS):
        yield length + 1


def _unknown(file: BinaryIO, length: int) -> Iterator[int]:
    """Streams end anywhere."""
    return iter(())


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _digits(head: bytes) -> int:
    """How many bytes a number of Matroska has: one, and one for every zero it begins with. 0 for none."""
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
