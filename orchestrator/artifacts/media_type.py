"""Media types, recognised from the first bytes of a file."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

# How many bytes `recognise` wants to see.
OPENING = 32

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
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
)
# ISO base media files say what they are in the brand after `ftyp`.
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
}


def recognise(opening: bytes) -> str:
    """The media type of a file that begins with these bytes, or `application/octet-stream`."""
    if opening[:4] == b"RIFF" and opening[8:12] == b"WEBP":
        return "image/webp"
    if opening[4:8] == b"ftyp":
        return _BRANDS.get(opening[8:12], "video/mp4")
    return next((kind for start, kind in _OPENINGS if opening.startswith(start)), UNKNOWN)
