"""Pictures of the caller's libraries, PIL and NumPy, to and from the bytes of a file.

The client needs neither: PIL, NumPy and OpenCV are imported here only when they are used.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from intarsia import errors

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

PilImage: TypeAlias = "Image.Image"
Array: TypeAlias = "np.ndarray"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels: grey, RGB, RGBA


def is_array(value: Any) -> TypeGuard[Array]:
    """True for an array of NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def encoded(picture: Any, field: str = "picture") -> Any:
    """A PIL image or an array as PNG; everything else as it is. `field` is its name in an error."""
    image = sys.modules.get("PIL.Image")
    if is_array(picture):
        return _array_to_png(picture, field)
    if image is not None and isinstance(picture, image.Image):
        return _image_to_png(picture, field)
    return picture


def image(data: bytes) -> Image.Image:
    """The picture as a PIL image."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("image() needs Pillow; install it with `pip install pillow`") from None
    opened = Image.open(io.BytesIO(data))
    opened.load()
    return opened


def array(data: bytes) -> np.ndarray:
    """The picture as an array, (height, width) or (height, width, 3 or 4), uint8 or uint16; RGB order."""
    try:
        import cv2
        import numpy as np
    except ImportError:
        return _array_by_pil(data)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        return _array_by_pil(data)
    if found.ndim == 2:
        return found
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB if found.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _array_by_pil(data: bytes) -> np.ndarray:
    try:
        import numpy as np
    except ImportError:
        raise ImportError("array() needs NumPy; install it with `pip install numpy pillow`") from None
    opened = image(data)
    if data.startswith(_SIGNATURE) and data[24] == 16 and opened.mode in ("RGB", "RGBA"):
        raise ImportError(
            "array() of a 16-bit picture needs OpenCV; install it with `pip install opencv-python-headless`"
        )
    return np.asarray(opened.convert("RGBA" if "transparency" in opened.info else "RGB")
                      if opened.mode == "P" else opened)  # fmt: skip


def _image_to_png(picture: Image.Image, field: str) -> bytes:
    """The image with its colour profile, and with its EXIF data, which may say how to turn it upright."""
    file = io.BytesIO()
    try:
        picture.save(file, "PNG", compress_level=1, exif=picture.getexif())
    except OSError as error:
        raise errors.InvalidRequest(
            f"{error}; convert the image first, for example with image.convert('RGB')", field=field
        ) from None
    return file.getvalue()


def _array_to_png(picture: np.ndarray, field: str) -> bytes:
    """A boolean, uint8 or uint16 array of shape (height, width) or (height, width, 1, 3 or 4) as PNG.

    The same values always give the same bytes, so that they are uploaded once.
    """
    shape = (*picture.shape, 1) if picture.ndim == 2 else picture.shape
    if len(shape) != 3 or shape[2] not in _COLOUR_TYPES or 0 in shape or picture.dtype.name not in _TYPES:
        raise errors.InvalidRequest(
            "an array must be uint8 or uint16 (for a mask, also bool) and have the shape (height, width, 3), "
            f"(height, width, 4) or (height, width), not {picture.dtype} {picture.shape}",
            field=field,
        )
    height, width, channels = shape
    values = picture.astype("uint8") * 255 if picture.dtype.name == "bool" else picture
    depth = 8 * values.dtype.itemsize
    rows = values.astype(">u2" if depth == 16 else "u1", order="C").reshape(height, -1).view("u1")
    filtered = rows.copy()
    filtered[1:] -= rows[:-1]  # the filter "Up", modulo 256: rows resemble each other
    packed = zlib.compressobj(1)
    body = [packed.compress(b"\x02" + row.tobytes()) for row in filtered] + [packed.flush()]
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"".join(body)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


_TYPES = ("bool", "uint8", "uint16")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
