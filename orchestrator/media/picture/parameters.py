"""Parameters in picture files: how a picture was made, told by the file itself.

They are one JSON object, and the same ones make the same text. PNG has a place of its own for such texts.
TIFF keeps them as the picture's description, JPEG and WebP as a comment in EXIF; where somebody else's words
stand there already, they stay and the parameters are left out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from PIL import Image

from orchestrator.media.picture.png import SIGNATURE, chunk

DESCRIPTION, COMMENT, DIRECTORY = 0x010E, 0x9286, 0x8769

# Tells our words from others' where there is one place for any.
_MARK = "intarsia "
# How EXIF begins a comment in that alphabet.
_ASCII = b"ASCII\0\0\0"
# The keyword; then neither compressed, nor in a language, nor the keyword translated.
_OPENING = b"intarsia\0" + b"\0\0\0\0"


def text_chunk(parameters: Mapping[str, Any]) -> bytes:
    """Parameters as a chunk of a PNG file."""
    return chunk(b"iTXt", _OPENING + json.dumps(parameters, sort_keys=True, ensure_ascii=False).encode())


def described(exif: bytes | None, parameters: Mapping[str, Any]) -> bytes | None:
    """EXIF data with the parameters as the picture's description; None if it has another."""
    found = _loaded(exif)
    if _says(found.get(DESCRIPTION)):
        return None
    found[DESCRIPTION] = _text(parameters)
    return found.tobytes()


def commented(exif: bytes | None, parameters: Mapping[str, Any]) -> bytes | None:
    """EXIF data with the parameters as a comment; None if there is another."""
    found = _loaded(exif)
    directory = found.get_ifd(DIRECTORY)
    if _says(directory.get(COMMENT)):
        return None
    found[DIRECTORY] = {**directory, COMMENT: _ASCII + _text(parameters).encode()}
    return found.tobytes()


def is_ours(words: object) -> bool:
    """Whether a description or comment is parameters that this program wrote."""
    return _unmarked(words) is not None


def parameters_of(data: bytes) -> dict[str, Any] | None:
    """The parameters in a picture file; None if it tells none."""
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
    """In ASCII, the one alphabet that every reader of EXIF knows."""
    return _MARK + json.dumps(parameters, sort_keys=True)


def _says(words: object) -> bool:
    """Whether somebody wrote something there: cameras leave room for comments, filled with blanks."""
    if isinstance(words, bytes):
        return bool(words[len(_ASCII) :].strip(b"\0 "))
    return bool(words)


def _unmarked(words: object) -> str | None:
    if isinstance(words, bytes):
        words = words.removeprefix(_ASCII).decode("ascii", "replace")
    return words.removeprefix(_MARK) if isinstance(words, str) and words.startswith(_MARK) else None


def _loaded(exif: bytes | None) -> Image.Exif:
    found = Image.Exif()
    if exif is not None:
        found.load(exif)
    return found


def _of_png(data: bytes) -> Iterator[bytes]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length] if kind == b"iTXt" else b""
        if body.startswith(_OPENING):
            yield body[len(_OPENING) :]
        at += 12 + length


def _of_exif(data: bytes) -> Iterator[str]:
    try:
        with Image.open(BytesIO(data)) as image:
            found = image.getexif()
            words = (found.get(DESCRIPTION), found.get_ifd(DIRECTORY).get(COMMENT))
    except Exception:  # Pillow raises whatever it stumbles over in a stranger's file
        return
    yield from (text for text in map(_unmarked, words) if text is not None)
