"""A header says what decoding the file will give."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intarsia.errors import InvalidRequest
from orchestrator.media.picture.header import read_header
from orchestrator.media.picture.picture import DEFAULT_LIMITS, PictureLimits, decode
from orchestrator.media.picture.png import write_png

COLOURS = np.random.default_rng(3).integers(0, 256, (30, 40, 4), np.uint8)
SIXTEEN = COLOURS.astype(np.uint16) * 257


def saved(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


FILES = {
    "RGB": saved(COLOURS[..., :3]),
    "RGBA": saved(COLOURS),
    "grey": saved(COLOURS[..., 0]),
    "with a clear colour": saved(COLOURS[..., 0] // 2, transparency=5),
    "JPEG": saved(COLOURS[..., :3], "JPEG"),
    "several JPEGs": saved(
        COLOURS[..., :3], "MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))]
    ),
    "WebP": saved(COLOURS, "WEBP"),
    "TIFF": saved(COLOURS[..., :3], "TIFF"),
    "BMP": saved(COLOURS[..., :3], "BMP"),
    "AVIF": saved(COLOURS, "AVIF"),
    "sixteen bits": write_png(SIXTEEN[..., :3]),
    "sixteen bits with alpha": write_png(SIXTEEN),
    "sixteen bits of grey": saved(SIXTEEN[..., 0]),
    "floats": saved(COLOURS[..., 0].astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_header_says_what_the_decoded_picture_takes(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILES[name])
    header, picture = read_header(tmp_path / "file", DEFAULT_LIMITS), decode(FILES[name])
    assert (header.width, header.height, header.format) == (picture.width, picture.height, picture.format)
    assert header.levels == picture.pixels.itemsize
    alpha = 0 if picture.alpha is None else picture.alpha.nbytes
    assert picture.pixels.nbytes + alpha <= header.nbytes < 2 * picture.pixels.nbytes


@pytest.mark.parametrize("data", [b"", b"neither", FILES["RGB"][:20], FILES["TIFF"][:9]])
def test_a_file_without_a_header_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InvalidRequest) as caught:
        read_header(tmp_path / "file", DEFAULT_LIMITS, field="region.mask.artifact")
    assert caught.value.field == "region.mask.artifact"


def test_a_picture_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILES["RGB"])
    with pytest.raises(InvalidRequest, match="40 x 30"):
        read_header(tmp_path / "file", PictureLimits(megapixels=0.001))
