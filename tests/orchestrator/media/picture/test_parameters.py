from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.parameters import parameters_of
from orchestrator.media.picture.picture import Picture, decode
from tests.orchestrator.media.picture.files import SRGB, noise, saved, smooth

PARAMETERS = {
    "seed": 2**62 + 1,
    "steps": 20,
    "instruction": "mach es “blau”, 变蓝",
    "regions": [{"feather": 8.0}],
}
FORMATS = ["PNG", "TIFF", "WEBP", "JPEG"]


def picture(format: str = "PNG", exif: bytes | None = None, dtype: type = np.uint8) -> Picture:
    return Picture(noise(30, 41, 3, dtype=dtype), None, SRGB, exif, format, 8)


def with_exif(description: str | None = None, comment: str | None = None) -> bytes:
    exif = Image.Exif()
    if description is not None:
        exif[0x010E] = description
    if comment is not None:
        exif[0x8769] = {0x9286: b"ASCII\0\0\0" + comment.encode(), 0x8827: 400}
    return exif.tobytes()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("exif", [None, with_exif(), with_exif(comment="")])
def test_a_file_holds_its_parameters(format, exif):
    source = picture(exif=exif)
    written = encode(source, format, parameters=PARAMETERS)
    assert parameters_of(written.data) == PARAMETERS
    assert written.notes == ()
    plain = encode(source, format)
    assert parameters_of(plain.data) is None
    assert np.array_equal(decode(written.data).pixels, decode(plain.data).pixels)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_parameters_make_the_same_bytes(format):
    turned = dict(reversed(PARAMETERS.items()))
    first = encode(picture(), format, parameters=PARAMETERS).data
    assert first == encode(picture(), format, parameters=turned).data
    assert first != encode(picture(), format, parameters={**PARAMETERS, "seed": 1}).data


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "JPEG"])
def test_descriptions_and_comments_of_another_origin_are_kept(format):
    exif = with_exif(description="a boat", comment="taken at noon")
    written = encode(picture(exif=exif), format, parameters=PARAMETERS)
    assert parameters_of(written.data) is None
    assert len(written.notes) == 1 and "parameters" in written.notes[0]
    kept = Image.Exif()
    kept.load(decode(written.data).exif)
    assert kept[0x010E] == "a boat" and kept.get_ifd(0x8769)[0x9286].endswith(b"taken at noon")


def test_a_description_does_not_prevent_a_comment_with_parameters():
    exif = with_exif(description="a boat")
    assert parameters_of(encode(picture(exif=exif), "JPEG", parameters=PARAMETERS).data) == PARAMETERS
    assert parameters_of(encode(picture(exif=exif), "PNG", parameters=PARAMETERS).data) == PARAMETERS


@pytest.mark.parametrize("format", FORMATS)
def test_an_edit_of_an_edit_holds_the_parameters_of_the_last_one(format):
    once = decode(encode(picture(format=format), format, parameters=PARAMETERS).data)
    again = encode(once, format, parameters={"seed": 5})
    assert parameters_of(again.data) == {"seed": 5} and again.notes == ()
    assert parameters_of(encode(once, format).data) is None


def test_parameters_too_long_for_jpeg_are_left_out_with_a_note():
    exif = with_exif(comment="")
    written = encode(picture(exif=exif), "JPEG", parameters={"prompt": "x" * 70_000})
    assert parameters_of(written.data) is None and "parameters" in written.notes[0]
    kept = Image.Exif()
    kept.load(decode(written.data).exif)
    assert kept.get_ifd(0x8769)[0x8827] == 400


def test_files_of_sixteen_bits_hold_their_parameters_too():
    source = replace(picture(dtype=np.uint16), bits=16)
    for format in ("PNG", "TIFF"):
        written = encode(source, format, parameters=PARAMETERS)
        assert parameters_of(written.data) == PARAMETERS
        assert np.array_equal(decode(written.data).pixels, source.pixels)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"no picture at all",
        encode(picture(), parameters=PARAMETERS).data[:100],
        saved(smooth(5, 6), "JPEG"),
        saved(smooth(5, 6), "PNG"),
    ],
)
def test_other_files_hold_no_parameters(data):
    assert parameters_of(data) is None
