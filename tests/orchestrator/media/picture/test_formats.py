"""Formats that are read and not written: BMP, AVIF and, where pillow-heif is installed, HEIC."""

from __future__ import annotations

import struct
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from intarsia.errors import InvalidRequest
from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.formats import FORMATS, lossless_format
from orchestrator.media.picture.levels import levels_of
from orchestrator.media.picture.picture import decode
from tests.orchestrator.media.picture.files import SRGB, noise, saved, smooth

RGB = smooth(30, 41)
HEIC = b"\x00\x00\x00\x18ftypheic" + bytes(50)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bmp_keeps_every_level_and_is_written_as_png(mode: str) -> None:
    image = Image.fromarray(noise(30, 41, 4)).convert(mode)
    picture = decode(saved(image, "BMP"))
    assert picture.format == "BMP"
    written = encode(picture)
    assert written.media_type == "image/png"
    assert "written as PNG, since BMP files are read, but not written" in written.notes
    assert np.array_equal(decode(written.data).pixels, np.asarray(image.convert("RGB")))


def test_an_avif_is_read_with_its_alpha_profile_and_exif() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    alpha = noise(30, 41)
    levels = np.dstack([RGB, alpha])
    file = saved(levels, "AVIF", quality=100, subsampling="4:4:4", icc_profile=SRGB, exif=exif)
    picture = decode(file)
    assert (picture.format, picture.bits, picture.icc) == ("AVIF", 8, SRGB)
    assert picture.exif is not None and b"a camera" in picture.exif
    assert np.abs(picture.pixels.astype(int) - RGB).mean() < 2
    assert picture.alpha is not None and np.abs(picture.alpha.astype(int) - alpha).mean() < 2
    assert encode(picture).media_type == "image/png"


def test_an_avif_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(saved(RGB, "AVIF", quality=100, subsampling="4:4:4", exif=exif))
    assert (picture.width, picture.height) == (30, 41)
    assert np.abs(picture.pixels.astype(int) - np.rot90(RGB, -1)).mean() < 2


@pytest.mark.parametrize(
    ("configuration", "bits"),
    [
        (b"av1C\x81\x00\x0c\x00", 8),
        (b"av1C\x81\x00\x4c\x00", 10),
        (b"av1C\x81\x00\x6c\x00", 12),
        (b"hvcC" + bytes(17) + b"\xf8", 8),
        (b"hvcC" + bytes(17) + b"\xfa", 10),
        (b"av1C\x81", 8),  # cut off
        (b"", 8),
    ],
)
def test_deeper_levels_are_told(configuration: bytes, bits: int) -> None:
    image = Image.new("RGB", (4, 3))
    image.format = "AVIF"
    found = levels_of(image, bytes(100) + configuration)
    assert found.bits == bits and found.pixels.dtype == np.uint8
    assert found.notes == ((f"{bits} bits per level were reduced to 8",) if bits > 8 else ())


def test_a_heic_is_read_where_its_library_is_installed() -> None:
    if find_spec("pillow_heif") is None:
        with pytest.raises(InvalidRequest, match=r"pillow-heif is installed; install it, or send PNG, "):
            decode(HEIC)
        return
    picture = decode(saved(RGB, "HEIF", quality=-1))
    assert (picture.format, picture.bits, lossless_format(picture.format)) == ("HEIF", 8, "PNG")
    assert np.abs(picture.pixels.astype(int) - RGB).mean() < 6  # colours have half the resolution


@pytest.mark.parametrize("kind", [b"GIF89a", b"8BPS", b"%PDF-"])
def test_what_is_not_read_is_refused_with_what_is(kind: bytes) -> None:
    with pytest.raises(InvalidRequest, match="send PNG, JPEG, WebP, TIFF, BMP or AVIF"):
        decode(kind + bytes(600))


@pytest.mark.parametrize("format", ["BMP", "AVIF"])
def test_a_damaged_file_is_the_fault_of_who_sent_it(format: str) -> None:
    data = saved(RGB, format)
    for cut in (16, 40, len(data) // 2):
        with pytest.raises(InvalidRequest):
            decode(data[:cut])
    # A header that promises more than it holds.
    if format == "BMP":
        data = data[:18] + struct.pack("<ii", 60000, 60000) + data[26:]
        with pytest.raises(InvalidRequest, match="megapixels"):
            decode(data)
    assert format in FORMATS
