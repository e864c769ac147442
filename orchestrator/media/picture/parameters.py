"""Parameters in picture files: the settings a picture was made with, inside the file itself.

They are one JSON object, and equal parameters give equal text. PNG has a chunk for such texts. TIFF keeps
them as the picture's description, JPEG and WebP as a comment in EXIF; a description or comment of another
origin is kept, and the parameters are left out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from PIL import Image

from orchestrator.media.picture.exif import CAMERA, COMMENT, DESCRIPTION, load_exif
from orchestrator.media.picture.png import SIGNATURE
from orchestrator.media.picture.png_metadata import text_chunks, text_opening

# Marks a description or comment as ours.
_MARK = "intarsia "
# The prefix of an EXIF comment in ASCII.
_ASCII = b"ASCII\0\0\0"
KEYWORD = "intarsia"


def parameters_chunks(parameters: Mapping[str, Any] | None) -> list[bytes]:
    """Parameters as a chunk of a PNG file."""
    if parameters is None:
        return []
    return text_chunks([(KEYWORD, json.dumps(parameters, sort_keys=True, ensure_ascii=False))])


def with_description(exif: bytes | None, parameters: Mapping[str, Any]) -> bytes | None:
    """EXIF data with the parameters as the picture's description; None if it has another description."""
    found = load_exif(exif)
    if _is_filled(found.get(DESCRIPTION)):
        return None
    found[DESCRIPTION] = _text(parameters)
    return found.tobytes()


def with_comment(exif: bytes | None, parameters: Mapping[str, Any]) -> bytes | None:
    """EXIF data with the parameters as a comment; None if it has another comment."""
    found = load_exif(exif)
    directory = found.get_ifd(CAMERA)
    if _is_filled(directory.get(COMMENT)):
        return None
    found[CAMERA] = {**directory, COMMENT: _ASCII + _text(parameters).encode()}
    return found.tobytes()


def is_ours(words: object) -> bool:
    """True if a description or comment holds parameters that this program wrote."""
    return _remove_mark(words) is not None


def parameters_of(data: bytes) -> dict[str, Any] | None:
    """Reads the parameters from a picture file; None if it has none."""
    texts = _of_png(data) if data.startswith(SIGNATURE) else _of_exif(data)
    for text in texts:
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None


def _text(parameters: Mapping[str, Any]) -> str:
    """The parameters in ASCII, which every reader of EXIF supports."""
    return _MARK + json.dumps(parameters, sort_keys=True)


def _is_filled(words: object) -> bool:
    """True if there is a text: cameras reserve space for comments and fill it with blanks."""
    if isinstance(words, bytes):
        return bool(words[len(_ASCII) :].strip(b"\0 "))
    return bool(words)


def _remove_mark(words: object) -> str | None:
    if isinstance(words, bytes):
        words = words.removeprefix(_ASCII).decode("ascii", "replace")
    return words.removeprefix(_MARK) if isinstance(words, str) and words.startswith(_MARK) else None


def _of_png(data: bytes) -> Iterator[bytes]:
    offset, opening = len(SIGNATURE), text_opening(KEYWORD)
    while offset + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        body = data[offset + 8 : offset + 8 + length] if kind == b"iTXt" else b""
        if body.startswith(opening):
            yield body[len(opening) :]
        offset += 12 + length


def _of_exif(data: bytes) -> Iterator[str]:
    try:
        with Image.open(BytesIO(data)) as image:
            found = image.getexif()
            words = (found.get(DESCRIPTION), found.get_ifd(CAMERA).get(COMMENT))
    except Exception:  # Pillow documents no set of exceptions for damaged files
        return
    yield from (text for text in map(_remove_mark, words) if text is not None)
