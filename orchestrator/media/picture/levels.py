"""Levels: converts the content of any picture file to RGB and alpha of 8 or 16 bits, with notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageCms

# Rows copied at a time: Pillow returns pixels as copies, which should not be of the whole picture.
_ROWS = 256
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
        found = _normalise_range(np.asarray(image), bits)
    elif bits == 16 and mode in ("RGB", "RGBA"):
        found = _sixteen(image, data)
    else:
        found = _eight(image, bits)
    return _apply_colour_key(found, image)


def bits_of(image: Image.Image, data: bytes) -> int:
    """The bits of a level; of the file at least the first 25 bytes are given."""
    if image.format == "PNG":
        return data[24]  # IHDR comes first, its bit depth after the two sides
    if image.format == "TIFF":
        tag = image.tag_v2.get(_BITS_PER_SAMPLE, 1)  # type: ignore[attr-defined]
        return int(max(tag) if isinstance(tag, tuple) else tag)
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
    pixels, alpha = _read(image, np.uint8)
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is not None and whole.dtype == np.uint16 and whole.shape[2:] in ((3,), (4,)):
        deep_alpha = whole[..., 3].copy() if alpha is not None and whole.shape[2] == 4 else None
        deep = cv2.cvtColor(whole, cv2.COLOR_BGR2RGB if whole.shape[2] == 3 else cv2.COLOR_BGRA2RGB)
        if _upper(deep, pixels) and (alpha is None or _upper(deep_alpha, alpha)):
            return Levels(deep, deep_alpha, 16)
    if image.format == "PNG":
        raise OSError("its 16-bit levels are incomplete")
    return Levels(pixels, alpha, 16, notes=("16 bits per level were reduced to 8",))


def _upper(deep: np.ndarray | None, eight: np.ndarray) -> bool:
    """True if `eight` are the upper bytes of `deep`."""
    if deep is None or deep.shape != eight.shape:
        return False
    rows = range(0, len(deep), _ROWS)
    return all(np.array_equal(deep[row : row + _ROWS] >> 8, eight[row : row + _ROWS]) for row in rows)


def _normalise_range(values: np.ndarray, bits: int) -> Levels:
    """Maps numbers without a fixed white to 16 bits: from [0, 1] if they lie in it, else from their range."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if values.size and low >= 0.0 and high <= 1.0 and bits == 32:
        low, high = 0.0, 1.0
    grey = np.rint((values - low) * (65535 / (high - low or 1.0))).astype(np.uint16)
    note = f"grey values from {low:g} to {high:g} were spread over 16 bits and written out as RGB"
    return Levels(np.repeat(grey[..., None], 3, axis=2), None, bits, notes=(note,))


def _apply_colour_key(found: Levels, image: Image.Image) -> Levels:
    """Adds an alpha channel if a PNG declares one colour as transparent."""
    key = image.info.get("transparency")
    if found.alpha is not None or image.format != "PNG" or not isinstance(key, int | tuple):
        return found
    full = np.iinfo(found.pixels.dtype).max
    if found.bits < 8 or (found.bits == 16 and full == 255):
        key = np.asarray(key) * full // (2**found.bits - 1)
    matches = (found.pixels == np.asarray(key)).all(axis=2)
    alpha = np.where(matches, 0, full).astype(found.pixels.dtype)
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
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        band = np.asarray(image.crop((0, rows.start, width, rows.stop))).reshape(
            -1, width, len(image.getbands())
        )
        pixels[rows] = band[..., :3] if band.shape[2] >= 3 else band[..., :1]
        if alpha is not None:
            alpha[rows] = band[..., -1]
    return pixels, alpha
