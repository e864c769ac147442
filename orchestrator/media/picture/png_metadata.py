"""Chunks of a PNG file that describe its picture: profile, EXIF, resolution and texts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from orchestrator.media.picture.png import chunk

_METRES_PER_INCH = 0.0254
_PER_METRE = 1


def profile_chunks(icc: bytes | None) -> list[bytes]:
    """The chunk that holds a colour profile; none for sRGB."""
    return [] if icc is None else [chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc))]


def exif_chunks(exif: bytes | None) -> list[bytes]:
    """The chunk that holds EXIF data."""
    return [] if exif is None else [chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))]


def resolution_chunks(resolution: tuple[float, float] | None) -> list[bytes]:
    """The chunk that holds pixels per inch, across and down, as pixels per metre."""
    if resolution is None:
        return []
    across, down = (round(value / _METRES_PER_INCH) for value in resolution)
    return [chunk(b"pHYs", struct.pack(">IIB", across, down, _PER_METRE))]


def text_chunks(texts: Iterable[tuple[str, str]]) -> list[bytes]:
    """A chunk for each text, with its keyword."""
    return [chunk(b"iTXt", text_opening(key) + text.encode("utf-8", "replace")) for key, text in texts]


def text_opening(keyword: str) -> bytes:
    """How a text begins: its keyword; then: not compressed, no language, no translated keyword."""
    return keyword.encode("latin-1", "replace")[:79] + b"\0" + b"\0\0\0\0"
