import struct
import tempfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from intarsia.errors import IntarsiaError, InvalidRequest
from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.header import read_header
from orchestrator.media.picture.metadata import upright
from orchestrator.media.picture.picture import Picture, PictureLimits, decode
from orchestrator.media.picture.tiff import write_tiff
from tests.orchestrator.media.picture.files import SRGB, cmyk_profile, noise, oriented, saved, saved16, smooth

RGB = noise(21, 34, 3)
RGBA = noise(21, 34, 4, seed=1)
DEEP = noise(21, 34, 4, dtype=np.uint16, seed=2)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("levels", [RGB, RGBA], ids=["rgb", "rgba"])
def test_eight_bits_are_read_as_they_are(format, levels):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = decode(saved(levels, format, **options))
    assert np.array_equal(picture.pixels, levels[..., :3])
    assert (picture.alpha is None) == (levels.shape[2] == 3)
    assert picture.alpha is None or np.array_equal(picture.alpha, levels[..., 3])
    assert (picture.format, picture.bits, picture.notes) == (format, 8, ())
    assert (picture.width, picture.height) == (34, 21)
    assert picture.pixels.flags["C_CONTIGUOUS"] and picture.rgb8 is picture.pixels


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_read_as_they_are(extension, channels):
    levels = DEEP[..., 0] if channels == 1 else DEEP[..., :channels]
    picture = decode(saved16(levels, extension))
    colours = np.repeat(levels[..., None], 3, axis=2) if channels == 1 else levels[..., :3]
    assert picture.pixels.dtype == np.uint16 and picture.bits == 16
    assert np.array_equal(picture.pixels, colours)
    assert picture.alpha is None or np.array_equal(picture.alpha, DEEP[..., 3])
    assert (picture.alpha is not None) == (channels == 4)
    assert np.abs(picture.rgb8 - colours / 257).max() <= 0.5


def test_a_jpeg_is_read_to_within_its_losses():
    picture = decode(saved(smooth(40, 60), "JPEG", quality=95))
    assert picture.format == "JPEG" and np.abs(picture.pixels.astype(int) - smooth(40, 60)).max() <= 10


GREY = noise(21, 34)


@pytest.mark.parametrize(
    ("image", "format", "note"),
    [
        (Image.fromarray(GREY), "PNG", "grey"),
        (Image.fromarray(GREY), "JPEG", "grey"),
        (Image.fromarray(noise(21, 34, 2)), "PNG", "grey"),
        (Image.fromarray(GREY).convert("1"), "PNG", "1 bit"),
        (Image.fromarray(GREY).convert("1"), "TIFF", "1 bit"),
        (Image.fromarray(RGB).quantize(32), "PNG", "palette"),
        (Image.fromarray(RGB).quantize(32), "TIFF", "palette"),
        (Image.fromarray(noise(21, 34, 4), "CMYK"), "JPEG", "CMYK"),
        (Image.fromarray(noise(21, 34, 4), "CMYK"), "TIFF", "CMYK"),
        (Image.fromarray(RGB).convert("YCbCr"), "TIFF", "YCbCr"),
        (Image.fromarray(RGB).convert("LAB"), "TIFF", "Lab"),
    ],
)
def test_other_modes_become_rgb_with_a_note(image, format, note):
    data = saved(image, format)
    picture = decode(data)
    assert picture.pixels.shape == (21, 34, 3) and picture.pixels.dtype == np.uint8
    assert any(note in said for said in picture.notes)
    if image.mode not in ("LAB", "CMYK"):
        reference = Image.open(BytesIO(data)).convert("RGB")
        assert np.array_equal(picture.pixels, np.asarray(reference))
    if image.mode == "LA":
        assert np.array_equal(picture.alpha, np.asarray(image)[..., 1])


def test_lab_colours_come_back_near_what_they_were():
    colours = Image.fromarray(96 + smooth(21, 34) // 4)
    lab = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    picture = decode(saved(lab, "TIFF"))
    assert np.abs(picture.pixels.astype(int) - np.asarray(colours)).max() <= 8


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("white_is_zero", [True, False])
def test_a_tiff_may_count_its_greys_from_white(bits, white_is_zero):
    grey = (np.arange(12).reshape(3, 4) * 20).astype(f"<u{bits // 8}")
    tags = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    tags.tagtype[273] = 4
    tags[256], tags[257], tags[258], tags[259] = 4, 3, bits, 1
    tags[262], tags[273], tags[277], tags[278], tags[279] = int(not white_is_zero), 0, 1, 3, grey.nbytes
    picture = decode(b"II*\0\x08\0\0\0" + tags.tobytes(8) + grey.tobytes())
    assert np.array_equal(picture.pixels[..., 0], np.iinfo(grey.dtype).max - grey if white_is_zero else grey)


@pytest.mark.parametrize("values", [np.linspace(0, 1, 12), np.linspace(-3, 900, 12), np.zeros(12)])
def test_floating_point_levels_are_spread_over_sixteen_bits(values):
    image = Image.fromarray(values.reshape(3, 4).astype(np.float32))
    picture = decode(saved(image, "TIFF"))
    assert picture.pixels.dtype == np.uint16 and "spread" in picture.notes[0]
    if values.any():
        assert picture.pixels.min() == 0 and picture.pixels.max() == 65535


def test_a_palette_with_clear_entries_has_an_alpha_channel():
    image = Image.fromarray(RGB).quantize(16)
    picture = decode(saved(image, "PNG", transparency=3))
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)


def test_a_transparent_colour_becomes_an_alpha_channel():
    levels = RGB.copy()
    levels[3:6, 4:9] = (10, 20, 30)
    picture = decode(saved(levels, "PNG", transparency=(10, 20, 30)))
    assert np.array_equal(picture.alpha == 0, (levels == (10, 20, 30)).all(axis=2))
    assert np.array_equal(picture.pixels, levels) and "transparent colour" in picture.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_are_turned_upright(format, orientation):
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(RGB, format, exif=oriented(orientation), **options)
    picture = decode(data)
    reference = Image.open(BytesIO(data))
    expected = np.asarray(ImageOps.exif_transpose(reference))
    assert np.array_equal(picture.pixels, expected)
    assert (picture.width > picture.height) == (orientation <= 4)
    assert picture.exif is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_and_alpha_are_turned_alike(orientation):
    turned = upright(DEEP, orientation)
    for picture in (
        decode(write_tiff(DEEP[..., :3], DEEP[..., 3], exif=oriented(orientation))),
        decode(encode_with_exif(DEEP, oriented(orientation))),
    ):
        assert np.array_equal(picture.pixels, turned[..., :3])
        assert np.array_equal(picture.alpha, turned[..., 3])


def encode_with_exif(levels: np.ndarray, exif: bytes) -> bytes:
    return encode(Picture(levels[..., :3].copy(), levels[..., 3].copy(), None, exif, "PNG", 16)).data


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_profile_and_exif_are_kept_without_orientation_and_stale_sides(format):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8298] = 6, "a boat", "nobody"
    exif[0x8769] = {0xA002: 34, 0xA003: 21, 0x8827: 400}
    picture = decode(saved(RGB, format, exif=exif.tobytes(), icc_profile=SRGB))
    kept = Image.Exif()
    kept.load(picture.exif)
    assert (kept[0x010E], kept[0x8298]) == ("a boat", "nobody") and 0x0112 not in kept
    assert kept.get_ifd(0x8769) == {0x8827: 400}
    assert picture.icc == SRGB and picture.notes == ()


def test_a_profile_that_does_not_fit_is_left_out_with_a_note():
    grey = bytearray(SRGB)
    grey[16:20] = b"GRAY"
    for icc, word in ((bytes(grey), "not one for RGB"), (b"junk" * 50, "damaged")):
        picture = decode(saved(RGB, "JPEG", icc_profile=icc))
        assert picture.icc is None and word in picture.notes[0]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted_through_its_profile(format):
    levels = np.zeros((16, 48, 4), np.uint8)
    levels[:, 16:32, 0] = 255
    levels[:, 32:, 3] = 255
    options = {"quality": 100} if format == "JPEG" else {}
    data = saved(Image.fromarray(levels, "CMYK"), format, icc_profile=cmyk_profile(), **options)
    picture = decode(data)
    assert picture.notes == ("CMYK was converted to sRGB through its profile",) and picture.icc is None
    paper, grey, black = picture.pixels[8, [4, 24, 44]].astype(int)
    assert paper.min() >= 250 and black.max() <= 5
    assert np.abs(grey - 119).max() <= 4  # lightness 50 in sRGB, where a plain conversion gives cyan


def test_cmyk_with_a_useless_profile_is_converted_plainly():
    image = Image.fromarray(noise(21, 34, 4), "CMYK")
    picture = decode(saved(image, "JPEG", icc_profile=SRGB))
    assert "cannot be used" in picture.notes[0] and picture.icc is None


def test_only_the_first_page_is_read():
    pages = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    picture = decode(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert np.array_equal(picture.pixels, RGB) and "first page" in picture.notes[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"hello, this is text", "not a picture"),
        (saved(RGB, "GIF"), "image/gif"),
        (saved(RGB, "JPEG2000"), "image/jp2"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(50), r"a clip \(video/mp4\).*track_region"),
        (b"\x1aE\xdf\xa3\xa3" + bytes(50), r"a clip \(video/x-matroska\)"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_what_is_no_readable_picture_is_refused_in_words(data, says):
    with pytest.raises(InvalidRequest, match=says) as refusal:
        decode(data)
    assert refusal.value.field == "picture"


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of chunks at will; `rows` are unpacked, with their filter bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (header, *extra, b"IDAT" + zlib.compress(rows), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


def unfiltered(levels: np.ndarray) -> bytes:
    rows = levels.astype(levels.dtype.newbyteorder(">")).reshape(len(levels), -1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def test_sixteen_bit_grey_with_alpha_is_read_as_it_is():
    picture = decode(raw_png(34, 21, 16, 4, unfiltered(DEEP[..., :2])))
    assert np.array_equal(picture.pixels, np.repeat(DEEP[..., :1], 3, axis=2))
    assert np.array_equal(picture.alpha, DEEP[..., 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_sixteen_bits_must_match_in_all_of_them(channels):
    levels = DEEP[..., :channels].copy()
    levels[2, 3:9] = 0x1234
    levels[4, 5] = 0x1235
    key = b"tRNS" + struct.pack(">H", 0x1234) * channels
    picture = decode(raw_png(34, 21, 16, 2 if channels == 3 else 0, unfiltered(levels), key))
    assert np.array_equal(picture.alpha == 0, (levels == 0x1234).all(axis=2))
    assert np.array_equal(picture.pixels, np.broadcast_to(levels, (21, 34, 3)))


def test_a_transparent_grey_of_two_bits_is_found_after_widening():
    picture = decode(raw_png(4, 1, 2, 0, bytes([0, 0b00011011]), b"tRNS" + struct.pack(">H", 2)))
    assert picture.pixels[0, :, 0].tolist() == [0, 85, 170, 255]
    assert picture.alpha[0].tolist() == [255, 255, 0, 255]


@pytest.mark.parametrize(
    ("width", "height", "says"),
    [
        (0, 5, "no pixels"),
        (5, 0, "no pixels"),
        (12_001, 10_000, "120.0 megapixels"),
        (65_000, 65_000, "megapixels"),
        (70_000, 3, "65500 pixels a side"),
        (2**31 - 1, 2**31 - 1, "a side"),
    ],
)
def test_pictures_of_impossible_size_are_refused_from_the_header(width, height, says):
    with pytest.raises(InvalidRequest, match=says):
        decode(raw_png(width, height, 8, 2, bytes(1000)))


def test_limits_are_the_callers():
    data = saved(RGB, "PNG")
    assert decode(data, PictureLimits(megapixels=21 * 34 / 1e6)).width == 34
    with pytest.raises(InvalidRequest):
        decode(data, PictureLimits(megapixels=21 * 33 / 1e6))
    with pytest.raises(InvalidRequest):
        decode(data, PictureLimits(side=33))


WHOLE = {
    "png": saved(RGBA, "PNG"),
    "deep png": saved16(DEEP, ".png"),
    "jpeg": saved(smooth(21, 34), "JPEG"),
    "progressive": saved(smooth(21, 34), "JPEG", progressive=True),
    "webp": saved(RGBA, "WEBP", lossless=True),
    "tiff": saved(RGBA, "TIFF"),
    "deflated tiff": saved(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "deep tiff": saved16(DEEP, ".tiff"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_off_is_refused_unless_no_pixel_is_missing(kind):
    data = WHOLE[kind]
    whole = decode(data)
    refused = 0
    for length in sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 24, len(data))}):
        try:
            picture = decode(data[:length])
        except InvalidRequest:
            refused += 1
        else:
            assert np.array_equal(picture.pixels, whole.pixels), f"{length} of {len(data)} bytes"
    assert refused >= 50


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.sampled_from([64, 10_000]),
)
def test_mutated_files_raise_nothing_but_our_own_errors(kind, mutations, reach):
    data = bytearray(WHOLE[kind])
    for place, value in mutations:
        data[int(place * (min(reach, len(data)) - 1))] = value
    limits = PictureLimits(megapixels=1)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            picture = decode(bytes(data), limits)
        except IntarsiaError:
            with suppress(IntarsiaError):
                read_header(Path(file.name), limits)
            return
        header = read_header(Path(file.name), limits)
    assert picture.pixels.dtype in (np.uint8, np.uint16) and picture.pixels.ndim == 3
    assert picture.pixels.nbytes <= header.nbytes
