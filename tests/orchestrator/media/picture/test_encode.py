from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from canvas.box import PixelBox
from canvas.crop import crop_around
from canvas.feather import feather
from canvas.inlay import inlay
from intarsia.errors import InvalidRequest
from orchestrator.media.picture import change as change_module
from orchestrator.media.picture import strips as strips_module
from orchestrator.media.picture.change import Change
from orchestrator.media.picture.encode import encode, target_format
from orchestrator.media.picture.picture import Picture, decode
from orchestrator.media.picture.png import compress_strip
from tests.orchestrator.media.picture.files import SRGB, noise, saved, smooth


def picture_of(height=30, width=41, dtype=np.uint8, alpha=True, **facts) -> Picture:
    levels = noise(height, width, 4, dtype=dtype)
    facts = {"icc": None, "exif": None, "format": "PNG", "bits": levels.itemsize * 8, **facts}
    return Picture(levels[..., :3].copy(), levels[..., 3].copy() if alpha else None, **facts)


@settings(deadline=None)
@given(
    st.sampled_from([("PNG", np.uint8), ("PNG", np.uint16), ("TIFF", np.uint8), ("TIFF", np.uint16)])
    | st.just(("WEBP", np.uint8)),
    st.integers(1, 60),
    st.integers(1, 60),
    st.booleans(),
    st.data(),
)
def test_outside_the_region_an_edited_file_equals_its_source(kind, height, width, alpha, data):
    format, dtype = kind
    source = decode(encode(picture_of(height, width, dtype, alpha, format=format)).data)
    mask = np.zeros((height, width), np.float32)
    mask[data.draw(st.integers(0, height - 1)) :, data.draw(st.integers(0, width - 1)) :] = 1
    crop = crop_around(mask, context=0.5)
    patch = noise(crop.height, crop.width, 3, seed=9)
    edited = replace(source, pixels=inlay(source.pixels, patch, crop, feather(mask, 4)))
    written = encode(edited)
    assert written.media_type == f"image/{format.lower()}" and written.notes == ()
    result = decode(written.data)
    assert np.array_equal(result.pixels, edited.pixels)
    assert np.array_equal(result.pixels[mask == 0], source.pixels[mask == 0])
    assert (result.alpha is not None) == alpha
    assert not alpha or np.array_equal(result.alpha, source.alpha)
    assert result.bits == source.bits and result.pixels.dtype == dtype


@settings(deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 30), st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.data()
)
def test_reused_strips_alter_no_byte(height, width, dtype, alpha, data):
    source, strips = picture_of(height, width, dtype, alpha), {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strips_module, "_STRIP_BYTES", 500)
        for turn in range(3):
            top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
            bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
            window = PixelBox(left, top, right, bottom)
            fresh = noise(window.height, window.width, 3, dtype=dtype, seed=turn)
            pixels = source.pixels.copy()
            pixels[window.window] = fresh
            edited = replace(source, pixels=pixels)
            for format in ("PNG", "TIFF"):
                changed = encode(source, format, change=Change(window, fresh, strips))
                assert changed.data == encode(edited, format).data


def test_a_change_compresses_only_the_strips_it_touches(monkeypatch):
    monkeypatch.setattr(strips_module, "_STRIP_BYTES", 10 * 41 * 3)
    source, strips, rows = picture_of(100, 41, alpha=False), {}, []

    def watched(levels, above):
        rows.append(len(levels))
        return compress_strip(levels, above)

    monkeypatch.setattr(change_module, "compress_strip", watched)
    for _ in range(2):
        rows.clear()
        encode(source, change=Change(PixelBox(5, 33, 9, 38), noise(5, 4, 3), strips))
    assert rows == [10]
    rows.clear()
    encode(source, change=Change(PixelBox(5, 49, 9, 50), noise(1, 4, 3), strips))
    assert rows == [
        10,
        10,
        10,
    ]  # the strip, the one below that looks up to it, and the one met for the first time


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_profile_and_exif_are_written(format, dtype):
    exif = Image.Exif()
    exif[0x010E], exif[0x011A] = "a boat", 72.0
    exif[0x8769] = {0x8827: 400, 0x829A: 0.01}
    exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.5)}
    source = picture_of(dtype=dtype, alpha=False, icc=SRGB, exif=exif.tobytes())
    written = encode(source, format)
    result = decode(written.data)
    assert result.icc == SRGB and result.format == format
    kept = Image.Exif()
    kept.load(result.exif)
    assert kept[0x010E] == "a boat" and kept[0x011A] == 72.0
    assert kept.get_ifd(0x8769) == {0x8827: 400, 0x829A: 0.01}
    assert kept.get_ifd(0x8825) == {1: "N", 2: (51.0, 30.0, 0.5)}
    assert Image.open(BytesIO(written.data)).getexif().get(0x0112) is None


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_others_can_read_what_is_written(format, dtype):
    source = picture_of(300, 500, dtype)
    data = encode(source, format).data
    with Image.open(BytesIO(data)) as image:
        image.load()
        eight = source.pixels if dtype == np.uint8 else source.pixels >> 8
        assert image.mode == "RGBA" and np.array_equal(np.asarray(image)[..., :3], eight)


def test_a_jpeg_is_written_as_png_by_default():
    source = decode(saved(smooth(30, 40), "JPEG"))
    written = encode(source)
    assert written.media_type == "image/png" and "PNG" in written.notes[0]
    assert np.array_equal(decode(written.data).pixels, source.pixels)
    assert encode(source, "JPEG").media_type == "image/jpeg"


def test_quality_decides_the_size_of_a_jpeg():
    source = picture_of(alpha=False)
    assert len(encode(source, "JPEG", 20).data) < len(encode(source, "JPEG", 95).data) / 2


def test_jpeg_refuses_transparency_and_notes_an_opaque_channel():
    with pytest.raises(InvalidRequest, match="transparency") as refusal:
        target_format(picture_of(), "JPEG")
    assert refusal.value.field == "output.format"
    opaque = replace(picture_of(), alpha=np.full((30, 41), 255, np.uint8))
    assert "alpha" in encode(opaque, "JPEG").notes[0]


def test_formats_of_eight_bits_say_that_bits_were_lost():
    source = picture_of(dtype=np.uint16)
    written = encode(source, "WEBP")
    assert "reduced to 8" in written.notes[0]
    assert np.abs(decode(written.data).pixels - source.pixels / 257).max() <= 0.5


def test_pictures_too_wide_for_webp_are_refused():
    wide = picture_of(2, 16384)
    with pytest.raises(InvalidRequest, match="16383"):
        encode(wide, "WEBP")
    assert decode(encode(wide, "PNG").data).width == 16384


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidRequest, match="PNG, TIFF, WEBP, JPEG"):
        encode(picture_of(), "GIF")


def test_colours_below_transparent_pixels_survive():
    source = replace(picture_of(), alpha=np.zeros((30, 41), np.uint8))
    for format in ("PNG", "TIFF", "WEBP"):
        assert np.array_equal(decode(encode(source, format).data).pixels, source.pixels)


def test_exif_too_long_for_jpeg_is_left_out_with_a_note():
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    written = encode(picture_of(alpha=False, exif=exif.tobytes()), "JPEG")
    assert "EXIF" in written.notes[0] and decode(written.data).exif is None
