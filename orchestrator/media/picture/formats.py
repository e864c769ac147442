"""Formats of picture files: which are read, and which are written."""

from __future__ import annotations

from importlib.util import find_spec

from PIL import Image

# By media type, Pillow's names.
_READ = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
}
_HEIF = {"image/heic": "HEIF", "image/heif": "HEIF"}
WRITTEN = ("PNG", "TIFF", "WEBP", "JPEG")
_LOSSLESS = ("PNG", "TIFF", "WEBP")
_NAMES = "PNG, JPEG, WebP, TIFF, BMP or AVIF"

if find_spec("pillow_heif") is not None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    _READ |= _HEIF

FORMATS = tuple(dict.fromkeys(_READ.values()))


def refusal(kind: str) -> str:
    """Why a file of this media type is not read, and what to send; empty if it is."""
    if kind in _READ:
        return ""
    if kind in _HEIF:
        return (
            f"pictures of type {kind} are read where pillow-heif is installed; install it, or send {_NAMES}"
        )
    return f"pictures of type {kind} are not read; send {_NAMES}"


def unknown() -> str:
    """Why a file that is none of a picture is not read."""
    return f"this is not a picture; send {_NAMES}"


def format_of(image: Image.Image) -> str:
    """The format of an opened file, one of `FORMATS`."""
    # Phones wrap several JPEGs in one file (MPO).
    return "JPEG" if image.format == "MPO" else str(image.format)


def lossless_format(own: str) -> str:
    """The format in which a picture of this one is written, unless another is asked for."""
    return own if own in _LOSSLESS else "PNG"
