"""Recognises media types from the first bytes of a file."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

# The number of bytes that `recognise` needs: three packets of a transport stream.
OPENING = 3 * 188

_OPENINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"%PDF-", "application/pdf"),
    (b"\x00\x00\x00\x08wide", "video/quicktime"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
)
# ISO base media files name their type in the brand after `ftyp`.
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
}
# RIFF files name it after their length.
_FORMS = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
# QuickTime files older than `ftyp` begin with one of these, or with `wide`.
_ATOMS = (b"moov", b"mdat", b"pnot")
_EBML, _DOCTYPE_WEBM = b"\x1aE\xdf\xa3", b"\x42\x82\x84webm"


def recognise(opening: bytes) -> str:
    """The media type of a file that begins with these bytes, or `application/octet-stream`."""
    if opening[:4] == b"RIFF":
        return _FORMS.get(opening[8:12], UNKNOWN)
    if opening[4:8] == b"ftyp":
        return _BRANDS.get(opening[8:12], "video/mp4")
    if opening[4:8] in _ATOMS:
        return "video/quicktime"
    if opening.startswith(_EBML):
        return "video/webm" if _DOCTYPE_WEBM in opening[:64] else "video/x-matroska"
    kind = next((kind for start, kind in _OPENINGS if opening.startswith(start)), UNKNOWN)
    # One byte is weak evidence, but it begins every packet.
    return "video/mp2t" if kind == UNKNOWN and opening[:OPENING:188] == b"GGG" else kind
