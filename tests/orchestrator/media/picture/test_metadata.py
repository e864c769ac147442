"""What a file says of its picture stays in the file of the result, or a note names it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.metadata import holds_gps, without_gps
from orchestrator.media.picture.picture import Picture, decode
from tests.orchestrator.media.picture.files import noise

GPS, ORIENTATION, MAKE = 0x8825, 0x0112, 0x010F
FILES = ("PNG", "JPEG", "TIFF", "WEBP")


def file(format: str, **saving: object) -> bytes:
    out = BytesIO()
    Image.fromarray(noise(24, 32, 3)).save(out, format, **saving)
    return out.getvalue()


def texts(**found: str) -> PngInfo:
    info = PngInfo()
    for key, text in found.items():
        (info.add_itxt if not text.isascii() else info.add_text)(key, text)
    return info


def reread(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("source", FILES[:3])
@pytest.mark.parametrize("target", FILES)
def test_the_resolution_is_kept(source: str, target: str) -> None:
    picture = decode(file(source, dpi=(300, 150)))
    assert picture.resolution == pytest.approx((300, 150), abs=0.02)  # PNG counts per metre
    written = reread(encode(picture, target).data)
    if target == "WEBP":  # has no other place than EXIF
        exif = written.getexif()
        found = exif[0x011A], exif[0x011B]
    else:
        found = written.info["dpi"]
    assert [float(value) for value in found] == pytest.approx((300, 150), abs=0.02)


def test_the_resolution_turns_with_the_picture() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = decode(file("JPEG", dpi=(300, 150), exif=exif))
    assert (picture.width, picture.height) == (24, 32)
    assert picture.resolution == (150, 300)


def test_a_resolution_that_is_nonsense_is_none() -> None:
    assert decode(file("PNG")).resolution is None
    assert decode(file("TIFF", dpi=(0, 72))).resolution is None


def test_texts_of_a_png_file_are_kept_and_named_where_they_cannot_be() -> None:
    said = {"Title": "A wall", "Author": "Grünewald, 壁画"}
    picture = decode(file("PNG", pnginfo=texts(**said, intarsia="{}", **{"XML:com.adobe.xmp": "<x/>"})))
    assert dict(picture.texts) == said
    written = reread(encode(picture, parameters={"seed": 7}).data)
    assert {key: written.text[key] for key in said} == said  # type: ignore[attr-defined]
    assert set(written.text) == {*said, "intarsia"}  # type: ignore[attr-defined]
    assert encode(picture).notes == ()
    for target in FILES[1:]:
        assert encode(picture, target).notes[-1].startswith("texts of the PNG file were left out")


def test_texts_that_are_too_long_are_left_out_with_a_note() -> None:
    picture = decode(file("PNG", pnginfo=texts(Title="A wall", Comment="x" * (1 << 20), Author="nobody")))
    assert dict(picture.texts) == {"Title": "A wall"}
    assert "2 long texts of the file were left out" in picture.notes


def test_the_place_is_left_out_and_nothing_else() -> None:
    exif = Image.Exif()
    exif[MAKE] = "a camera"
    exif[GPS] = {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    found = decode(file("JPEG", exif=exif)).exif
    assert holds_gps(found)
    kept = Image.Exif()
    kept.load(without_gps(found))
    assert kept[MAKE] == "a camera" and not kept.get_ifd(GPS)
    assert not holds_gps(without_gps(found)) and without_gps(None) is None

    only = Image.Exif()
    only[GPS] = {1: "N"}
    picture = Picture(noise(4, 4, 3), None, None, only.tobytes(), "JPEG", 8)
    assert without_gps(picture.exif) is None
    assert np.array_equal(decode(encode(picture).data).pixels, picture.pixels)
