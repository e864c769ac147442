"""Patches: crops as models see them, float32 (3, height, width) in [-1, 1], and back to pixels."""

from __future__ import annotations

import cv2
import numpy as np

from intarsia.canvas.crop import PixelBox, Working
from intarsia.errors import InternalError


def cut(picture: np.ndarray, crop: PixelBox, working: Working) -> np.ndarray:
    """Takes the crop out of a picture, uint8 or uint16 (height, width, 3), scales and pads it.

    Pixels are not resampled if the crop is worked at its own size.
    """
    sheet = _resized(picture[crop.window], working.scaled)
    sheet = cv2.copyMakeBorder(
        sheet,
        working.top,
        working.height - working.bottom,
        working.left,
        working.width - working.right,
        cv2.BORDER_REFLECT_101,
    )
    patch = np.divide(sheet.transpose(2, 0, 1), np.iinfo(picture.dtype).max, dtype=np.float32, order="C")
    patch *= 2
    patch -= 1
    return patch


def restore(
    patch: np.ndarray, crop: PixelBox, working: Working, dtype: type[np.unsignedinteger] = np.uint8
) -> np.ndarray:
    """Undoes `cut`: drops the padding and scales back to pixels (crop height, crop width, 3) of `dtype`.

    Values beyond [-1, 1] are clipped. Raises `InternalError` for a patch that cannot be of this crop.
    """
    if patch.shape != (3, working.height, working.width):
        expected = (3, working.height, working.width)
        raise InternalError(f"the model's patch is shaped {patch.shape}, expected {expected}")
    rows, columns = working.scaled.window
    unit = patch[:, rows, columns].transpose(1, 2, 0) * np.float32(0.5) + np.float32(0.5)
    if not np.isfinite(unit).all():
        raise InternalError("the model's patch holds values that are not finite numbers")
    np.clip(unit, 0, 1, out=unit)
    unit *= np.iinfo(dtype).max
    pixels = np.rint(unit, out=unit).astype(dtype, order="C")
    return _resized(pixels, PixelBox(0, 0, crop.width, crop.height))


def _resized(pixels: np.ndarray, to: PixelBox) -> np.ndarray:
    height, width = pixels.shape[:2]
    if (width, height) == (to.width, to.height):
        return pixels
    # Averaging over areas keeps fine texture from turning into patterns; Lanczos keeps edges crisp.
    smaller = to.width < width or to.height < height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (to.width, to.height), interpolation=how)
