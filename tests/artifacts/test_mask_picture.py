from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from intarsia.canvas.box import PixelBox
from intarsia.canvas.feather import feather
from intarsia.canvas.inlay import inlay
from intarsia.canvas.region import Polarity
from intarsia.errors import InvalidRequest
from orchestrator.artifacts.mask_picture import decode_mask, encode_mask
from tests.artifacts.files import noise, oriented, saved, saved16


def test_a_mask_comes_back_from_its_png():
    mask = noise(20, 30).astype(np.float32) / 255
    data = encode_mask(mask)
    np.testing.assert_allclose(decode_mask(data, Polarity.WHITE_INSIDE, 30, 20), mask, atol=1e-6)
    np.testing.assert_allclose(decode_mask(data, Polarity.BLACK_INSIDE, 30, 20), 1 - mask, atol=1e-6)


def test_a_mask_file_is_eight_bit_grey():
    mask = np.zeros((4, 5), np.float32)
    mask[1:3, 2:4] = 1
    image = Image.open(BytesIO(encode_mask(mask)))
    assert image.mode == "L" and np.array_equal(np.asarray(image), mask * 255)


def test_alpha_masks_read_the_alpha_channel():
    levels = noise(20, 30, 4)
    opaque = decode_mask(saved(levels, "PNG"), Polarity.OPAQUE_INSIDE, 30, 20)
    np.testing.assert_allclose(opaque, levels[..., 3] / 255, atol=1e-6)
    clear = decode_mask(saved(levels, "PNG"), Polarity.TRANSPARENT_INSIDE, 30, 20)
    np.testing.assert_allclose(clear, 1 - levels[..., 3] / 255, atol=1e-6)


def test_masks_of_one_and_of_sixteen_bits_are_read_too():
    bits = noise(20, 30) > 127
    one = decode_mask(saved(Image.fromarray(bits), "PNG"), Polarity.WHITE_INSIDE, 30, 20)
    assert np.array_equal(one, bits)
    deep = noise(20, 30, dtype=np.uint16)
    sixteen = decode_mask(saved16(deep, ".png"), Polarity.WHITE_INSIDE, 30, 20)
    np.testing.assert_allclose(sixteen, np.where(deep > 128, deep / 65535, 0), atol=1e-6)


def test_a_picture_of_sixteen_bits_changes_nowhere_that_its_mask_shows_as_outside():
    levels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    mask = decode_mask(saved16(levels, ".png"), Polarity.WHITE_INSIDE, 20, 15)
    picture, patch = np.zeros((15, 20, 3), np.uint16), np.full((15, 20, 3), 65535, np.uint16)
    edited = inlay(picture, patch, PixelBox(0, 0, 20, 15), feather(mask, 0))
    shown = np.asarray(Image.open(BytesIO(encode_mask(mask))))
    assert (shown == 0).any() and not edited[shown == 0].any() and edited[shown > 0].all()


def test_a_mask_is_turned_upright_before_its_size_is_compared():
    data = saved(noise(20, 30), "PNG", exif=oriented(6))
    assert decode_mask(data, Polarity.WHITE_INSIDE, 20, 30).shape == (30, 20)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(InvalidRequest, match=r"30 x 20.*31 x 20") as refusal:
        decode_mask(saved(noise(20, 30), "PNG"), Polarity.WHITE_INSIDE, 31, 20)
    assert refusal.value.field == "region.mask.artifact"


def test_a_mask_without_alpha_cannot_say_what_is_opaque():
    with pytest.raises(InvalidRequest, match="alpha") as refusal:
        decode_mask(saved(noise(20, 30), "PNG"), Polarity.OPAQUE_INSIDE, 30, 20)
    assert refusal.value.field == "region.mask.polarity"


def test_a_damaged_mask_is_blamed_on_the_mask():
    with pytest.raises(InvalidRequest) as refusal:
        decode_mask(b"no picture", Polarity.WHITE_INSIDE, 30, 20)
    assert refusal.value.field == "region.mask.artifact"
