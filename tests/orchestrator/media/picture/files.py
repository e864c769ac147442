"""Picture files for tests."""

from __future__ import annotations

import struct
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture that JPEG hardly changes."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(255 * np.stack((down, across, 1 - down), axis=2)).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    """A file of a Pillow image, or of 8-bit levels."""
    file = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, format, **options)
    return file.getvalue()


def saved16(levels: np.ndarray, extension: str) -> bytes:
    """A file of 16-bit levels: grey, RGB or RGBA."""
    if levels.ndim == 3:
        levels = levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    done, file = cv2.imencode(extension, levels)
    assert done
    return file.tobytes()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def cmyk_profile() -> bytes:
    """A profile of a press whose inks only darken: black ink to black, all others to middle grey."""
    inks = np.indices((2, 2, 2, 2)).reshape(4, -1)
    lightness = 255 * (1 - inks[3]) * (1 - inks[:3].max(axis=0) * 0.5)
    table = np.stack((lightness, np.full(16, 128), np.full(16, 128)), axis=1).round().astype(np.uint8)
    ramp = np.arange(256, dtype=np.uint8).tobytes()
    matrix = struct.pack(">9I", *(65536 * (n % 4 == 0) for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + table.tobytes() + ramp * 3
    lut += bytes(-len(lut) % 4)
    white = struct.pack(">3I", *(round(65536 * n) for n in (0.9642, 1.0, 0.8249)))
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", 156, len(lut), b"wtpt", 156 + len(lut), 20)
    body = tags + lut + b"XYZ " + bytes(4) + white
    header = struct.pack(
        ">I4sI4s4s4s12s4s",
        128 + len(body),
        bytes(4),
        0x02400000,
        b"prtr",
        b"CMYK",
        b"Lab ",
        bytes(12),
        b"acsp",
    )
    return (header + bytes(28) + white).ljust(128, b"\0") + body
