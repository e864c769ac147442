"""The promise of the whole: no pixel outside the region differs, whatever the picture and its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from canvas.crop import crop_around, working_size
from canvas.feather import feather
from canvas.inlay import inlay
from canvas.patch import restore
from canvas.seam import match_colours
from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.parameters import parameters_of
from orchestrator.media.picture.picture import decode
from tests.canvas.drawing import masks
from tests.orchestrator.media.picture.files import noise, oriented, saved, saved16

LOSSLESS = {"PNG", "TIFF", "WEBP"}


def png8(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, 3, seed=seed), "PNG")


def png8_alpha(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, 4, seed=seed), "PNG")


def png8_grey(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, seed=seed), "PNG")


def png8_grey_alpha(height: int, width: int, seed: int) -> bytes:
    return saved(Image.fromarray(noise(height, width, 4, seed=seed)).convert("LA"), "PNG")


def png_palette(height: int, width: int, seed: int) -> bytes:
    return saved(Image.fromarray(noise(height, width, 3, seed=seed)).convert("P"), "PNG")


def png1(height: int, width: int, seed: int) -> bytes:
    return saved(Image.fromarray(noise(height, width, seed=seed)).convert("1"), "PNG")


def png16(height: int, width: int, seed: int) -> bytes:
    return saved16(noise(height, width, 3, dtype=np.uint16, seed=seed), ".png")


def png16_alpha(height: int, width: int, seed: int) -> bytes:
    return saved16(noise(height, width, 4, dtype=np.uint16, seed=seed), ".png")


def png16_grey(height: int, width: int, seed: int) -> bytes:
    return saved16(noise(height, width, dtype=np.uint16, seed=seed), ".png")


def tiff8(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, 4, seed=seed), "TIFF")


def tiff16(height: int, width: int, seed: int) -> bytes:
    return saved16(noise(height, width, 3, dtype=np.uint16, seed=seed), ".tiff")


def webp(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, 4, seed=seed), "WEBP", lossless=True, exact=True)


def jpeg(height: int, width: int, seed: int) -> bytes:
    return saved(noise(height, width, 3, seed=seed), "JPEG", quality=80)


def jpeg_turned(height: int, width: int, seed: int) -> bytes:
    return saved(noise(width, height, 3, seed=seed), "JPEG", exif=oriented(6))


KINDS = (
    png8,
    png8_alpha,
    png8_grey,
    png8_grey_alpha,
    png_palette,
    png1,
    png16,
    png16_alpha,
    png16_grey,
    tiff8,
    tiff16,
    webp,
    jpeg,
    jpeg_turned,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(KINDS),
    mask=masks(),
    softness=st.floats(0, 24),
    context=st.floats(0, 2),
    format=st.sampled_from([None, "PNG", "TIFF"]),
    matched=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_pixel_outside_the_region_differs(kind, mask, softness, context, format, matched, seed):
    height, width = mask.shape
    source = decode(kind(height, width, seed))
    assert (source.height, source.width) == (height, width)

    crop = crop_around(mask, context=context)
    working = working_size(crop, smallest=64, largest=64)
    drawn = np.random.default_rng(seed).uniform(-1.2, 1.2, (3, working.height, working.width))
    patch = restore(drawn.astype(np.float32), crop, working, source.pixels.dtype.type)
    if matched:
        patch = match_colours(patch, source.pixels[crop.window], mask[crop.window])
    edited = inlay(source.pixels, patch, crop, feather(mask, softness))
    written = encode(replace(source, pixels=edited), format, parameters={"seed": seed})
    result = decode(written.data)

    outside = mask == 0
    assert np.array_equal(result.pixels[outside], source.pixels[outside])
    assert np.array_equal(result.pixels, edited)
    assert result.pixels.dtype == source.pixels.dtype and result.format in LOSSLESS
    assert (result.alpha is None) == (source.alpha is None)
    assert source.alpha is None or np.array_equal(result.alpha, source.alpha)
    assert parameters_of(written.data) == {"seed": seed}
