"""Levels: converts the content of any picture file to RGB and alpha of 8 or 16 bits, with notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageCms

# Pixels copied at a time, in whole rows: Pillow returns copies, which should not be of the whole picture.
_BAND = 1 << 18
_BOXES = 1 << 16  # bytes of an AVIF or HEIF file in which its configuration is looked for
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True, eq=False)
class Levels:
    """RGB (height, width, 3), alpha (height, width) or None, both uint8 or uint16.

    `bits` is the file's number of bits per level; `in_profile` is False if the values were converted to sRGB,
    so that the file's profile no longer applies.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    bits: int
    in_profile: bool = True
    notes: tuple[str, ...] = ()


def levels_of(image: Image.Image, data: bytes) -> Levels:
    """Converts a loaded picture; `data` is its file."""
    bits = bits_of(image, data)
    mode = image.mode
    if mode.startswith("I;16"):
        found = replace(_grey_sixteen(image), bits=16)
    elif mode in ("I", "F"):
        found = _normalise_range(image, bits)
    elif bits == 16 and mode in ("RGB", "RGBA"):
        found = _sixteen(image, data)
    else:
        found = _eight(image, bits)
    return _apply_colour_key(found, image)


def bits_of(image: Image.Image, data: bytes) -> int:
    """The bits of a level; of the file at least the first 25 bytes are given, of AVIF and HEIF all."""
    if image.format == "PNG":
        return data[24]  # IHDR comes first, its bit depth after the two sides
    if image.format == "TIFF":
        tag = image.tag_v2.get(_BITS_PER_SAMPLE, 1)  # type: ignore[attr-defined]
        return int(max(tag) if isinstance(tag, tuple) else tag)
    if image.format in ("AVIF", "HEIF"):
        return _coded_bits(data)
    return 8


def _coded_bits(data: bytes) -> int:
    """The bits of a level by the decoder's configuration, which stands among the first boxes of the file."""
    if (place := data.find(b"av1C", 0, _BOXES)) >= 0 and len(data) > place + 6:
        deep, twelve = data[place + 6] & 0x40, data[place + 6] & 0x20
        return 8 if not deep else 12 if twelve else 10
    if (place := data.find(b"hvcC", 0, _BOXES)) >= 0 and len(data) > place + 21:
        return 8 + (data[place + 21] & 7)
    return 8


def _eight(image: Image.Image, bits: int) -> Levels:
    mode, notes, in_profile = image.mode, [], True
    if mode == "CMYK":
        image, note = _from_cmyk(image)
        notes, in_profile = [note], False
    elif mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
        image = _apply_profile(image, lab)
        notes, in_profile = ["Lab colours were converted to sRGB"], False
    elif mode == "1":
        image, notes = image.convert("L"), ["1 bit per pixel was widened to 8 bits of RGB"]
    elif mode in ("P", "PA"):
        clear = mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if clear else "RGB")
        notes = ["palette colours were written out as RGB"]
    elif mode in ("L", "LA"):
        notes = ["grey levels were written out as RGB"]
    elif mode not in ("RGB", "RGBA", "RGBX"):
        target = "RGBA" if mode in ("La", "RGBa") else "RGB"
        image, notes = image.convert(target), [f"{mode} colours were converted to RGB"]
    if image.format in ("AVIF", "HEIF") and bits > 8:
        notes = [*notes, f"{bits} bits per level were reduced to 8"]
    pixels, alpha = _read(image, np.uint8)
    return Levels(pixels, alpha, bits, in_profile, tuple(notes))


def _grey_sixteen(image: Image.Image) -> Levels:
    pixels, _ = _read(image, np.uint16)
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
        np.subtract(65535, pixels, out=pixels)  # Pillow inverts these in 8 bits, but not in 16
    return Levels(pixels, None, 16, notes=("grey levels were written out as RGB",))


def _sixteen(image: Image.Image, data: bytes) -> Levels:
    """Reads sixteen bits of colour, of which Pillow keeps the upper eight.

    OpenCV reads all of them, but accepts files that were cut off, and supports fewer layouts. Its result is
    used if its upper eight bits equal Pillow's. For PNG, a difference can only mean that data are missing.
    """
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is not None and whole.dtype == np.uint16 and _upper_equal(whole, image):
        pixels = _to_rgb(whole)
        return Levels(pixels, whole[..., 3].copy() if image.mode == "RGBA" else None, 16)
    if image.format == "PNG":
        raise OSError("its 16-bit levels are incomplete")
    pixels, alpha = _read(image, np.uint8)
    return Levels(pixels, alpha, 16, notes=("16 bits per level were reduced to 8",))


def _upper_equal(whole: np.ndarray, image: Image.Image) -> bool:
    """True if the image's levels are the upper bytes of `whole`, whose colours OpenCV has in reverse."""
    size, channels = whole.shape[:2], whole.shape[2:]
    if size != (image.height, image.width) or channels not in ((3,), (4,)):
        return False
    if image.mode == "RGBA" and channels == (3,):
        return False
    order = [2, 1, 0, 3][: len(image.getbands())]
    return all(np.array_equal(whole[rows][..., order] >> 8, band) for rows, band in _bands(image))


def _to_rgb(whole: np.ndarray) -> np.ndarray:
    """The colours of what OpenCV has read; where it has read no alpha they take its place, to save memory."""
    pixels: np.ndarray = whole if whole.shape[2] == 3 else np.empty((*whole.shape[:2], 3), np.uint16)
    for rows in _row_slices(*whole.shape[:2]):
        pixels[rows] = whole[rows][..., 2::-1]
    return pixels


def _normalise_range(image: Image.Image, bits: int) -> Levels:
    """Maps numbers without a fixed white to 16 bits: from [0, 1] if they lie in it, else from their range."""
    extremes = [(band.min(), band.max()) for _, band in _numbers(image)]
    low, high = float(min(low for low, _ in extremes)), float(max(high for _, high in extremes))
    if low >= 0.0 and high <= 1.0 and bits == 32:
        low, high = 0.0, 1.0
    pixels: np.ndarray = np.empty((image.height, image.width, 3), np.uint16)
    for rows, band in _numbers(image):
        pixels[rows] = np.rint((band - low) * (65535 / (high - low or 1.0))).astype(np.uint16)
    note = f"grey values from {low:g} to {high:g} were spread over 16 bits and written out as RGB"
    return Levels(pixels, None, bits, notes=(note,))


def _numbers(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:
    """The bands of an image of numbers as float64; what is not finite counts as 0."""
    for rows, band in _bands(image):
        yield rows, np.nan_to_num(band.astype(np.float64), posinf=0.0, neginf=0.0)


def _apply_colour_key(found: Levels, image: Image.Image) -> Levels:
    """Adds an alpha channel if a PNG declares one colour as transparent."""
    key = image.info.get("transparency")
    if found.alpha is not None or image.format != "PNG" or not isinstance(key, int | tuple):
        return found
    full = np.iinfo(found.pixels.dtype).max
    if found.bits < 8 or (found.bits == 16 and full == 255):
        key = np.asarray(key) * full // (2**found.bits - 1)
    alpha: np.ndarray = np.empty(found.pixels.shape[:2], found.pixels.dtype)
    for rows in _row_slices(*alpha.shape):
        alpha[rows] = np.where((found.pixels[rows] == np.asarray(key)).all(axis=2), 0, full)
    return replace(found, alpha=alpha, notes=(*found.notes, "a transparent colour became an alpha channel"))


def _from_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    icc = image.info.get("icc_profile")
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            transform = ImageCms.buildTransform(profile, _srgb(), "CMYK", "RGB")
            return _apply_profile(image, transform), "CMYK was converted to sRGB through its profile"
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB"), "CMYK was converted to RGB without a profile: its own cannot be used"
    return image.convert("RGB"), "CMYK was converted to RGB without a profile: it has none"


def _apply_profile(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # it is only None when done in place
    return result


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _read(image: Image.Image, dtype: type) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB and alpha of an image whose mode is grey or RGB, perhaps with alpha."""
    width, height = image.size
    pixels: np.ndarray = np.empty((height, width, 3), dtype)
    alpha: np.ndarray | None = np.empty((height, width), dtype) if image.mode in ("LA", "RGBA") else None
    for rows, band in _bands(image):
        pixels[rows] = band[..., :3] if band.shape[2] >= 3 else band[..., :1]
        if alpha is not None:
            alpha[rows] = band[..., -1]
    return pixels, alpha


def _bands(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows after the other, (rows, width, channels)."""
    for rows in _row_slices(image.height, image.width):
        band = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
        yield rows, band.reshape(-1, image.width, len(image.getbands()))


def _row_slices(height: int, width: int) -> list[slice]:
    rows = max(1, _BAND // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
