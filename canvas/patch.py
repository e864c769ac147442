"""Patches: crops as models see them, and back to pixels.

They are (3, height, width), float32 in [-1, 1], or of a picture in 8 bits uint8, which models convert.
"""

from __future__ import annotations

import cv2
import numpy as np

from canvas.crop import PixelBox, WorkingSize
from intarsia.errors import InternalError


def cut(picture: np.ndarray, crop: PixelBox, working: WorkingSize) -> np.ndarray:
    """Cuts the crop out of a picture, uint8 or uint16 (height, width, 3), scales and pads it.

    Pixels are not resampled if the working size is the crop's own.
    """
    return _to_unit(_cut(picture, crop, working), picture.dtype)


def cut_sheet(picture: np.ndarray, crop: PixelBox, working: WorkingSize) -> np.ndarray:
    """Like `cut`, but uint8 if the picture is."""
    sheet = _cut(picture, crop, working)
    return np.ascontiguousarray(sheet) if picture.dtype == np.uint8 else _to_unit(sheet, picture.dtype)


def cut_hole(hole: np.ndarray, working: WorkingSize, *, margin: int) -> np.ndarray:
    """The hole of a crop, bool (height, width), scaled and padded like the crop: bool of the sheet's size.

    The hole grows by `margin` working pixels: a model sees holes at the resolution of latents and would miss
    a fine crack, and the edge of damage is damaged too.
    """
    scaled = working.scaled
    sheet: np.ndarray = hole.astype(np.float32)
    if (scaled.width, scaled.height) != hole.shape[::-1]:
        smaller = scaled.width < hole.shape[1] or scaled.height < hole.shape[0]
        how = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
        sheet = cv2.resize(sheet, (scaled.width, scaled.height), interpolation=how)
    sheet = (sheet > 0).astype(np.uint8)
    if margin:
        sheet = cv2.dilate(sheet, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    return _pad(sheet, working) > 0


def blank_hole(patch: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A patch (3, height, width) with its hole in middle grey, as inpainting models expect it."""
    return np.where(hole, np.float32(0), patch)


def latent_hole(hole: np.ndarray, factor: int) -> np.ndarray:
    """The hole of a sheet at the size of its latents, float32 (1, h, w) of 0 and 1: the first of every
    `factor` x `factor` pixels decides, as in the training of published inpainting models."""
    return hole[None, ::factor, ::factor].astype(np.float32)


def restore(
    patch: np.ndarray, crop: PixelBox, working: WorkingSize, dtype: type[np.unsignedinteger] = np.uint8
) -> np.ndarray:
    """Undoes `cut`: removes the padding and scales back to pixels (crop height, crop width, 3) of `dtype`,
    which is that of a patch of uint8.

    Values beyond [-1, 1] are clipped. Raises `InternalError` for a patch of another shape or type, or with
    values that are not finite.
    """
    if patch.shape != (3, working.height, working.width):
        expected = (3, working.height, working.width)
        raise InternalError(f"the model's patch is shaped {patch.shape}, expected {expected}")
    rows, columns = working.scaled.window
    if patch.dtype == np.uint8:
        if dtype is not np.uint8:
            raise InternalError(f"the model's patch has 8 bits, expected {np.dtype(dtype).name}")
        pixels = np.ascontiguousarray(patch[:, rows, columns].transpose(1, 2, 0))
        return _resize(pixels, PixelBox(0, 0, crop.width, crop.height))
    unit = patch[:, rows, columns].transpose(1, 2, 0) * np.float32(0.5) + np.float32(0.5)
    if not np.isfinite(unit).all():
        raise InternalError("the model's patch holds values that are not finite numbers")
    np.clip(unit, 0, 1, out=unit)
    unit *= np.iinfo(dtype).max
    pixels = np.rint(unit, out=unit).astype(dtype, order="C")
    return _resize(pixels, PixelBox(0, 0, crop.width, crop.height))


def _cut(picture: np.ndarray, crop: PixelBox, working: WorkingSize) -> np.ndarray:
    return _pad(_resize(picture[crop.window], working.scaled), working).transpose(2, 0, 1)


def _to_unit(sheet: np.ndarray, dtype: np.dtype) -> np.ndarray:
    patch = np.divide(sheet, np.iinfo(dtype).max, dtype=np.float32, order="C")
    patch *= 2
    patch -= 1
    return patch


def _pad(scaled: np.ndarray, working: WorkingSize) -> np.ndarray:
    """The scaled crop on its sheet, mirrored at its edges."""
    return cv2.copyMakeBorder(
        scaled,
        working.top,
        working.height - working.bottom,
        working.left,
        working.width - working.right,
        cv2.BORDER_REFLECT_101,
    )


def _resize(pixels: np.ndarray, to: PixelBox) -> np.ndarray:
    height, width = pixels.shape[:2]
    if (width, height) == (to.width, to.height):
        return pixels
    # Averaging over areas avoids aliasing of fine texture; Lanczos keeps edges sharp.
    smaller = to.width < width or to.height < height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (to.width, to.height), interpolation=how)
