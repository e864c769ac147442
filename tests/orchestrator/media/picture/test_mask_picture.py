from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from canvas.box import PixelBox
from canvas.feather import feather
from canvas.inlay import inlay
from canvas.region import MaskPicture, Polarity
from intarsia.errors import InvalidRequest
from orchestrator.media.picture.mask_picture import decode_mask, encode_mask
from tests.orchestrator.media.picture.files import noise, oriented, saved, saved16


def read(data, polarity, width, height, field="region", **said):
    return decode_mask(data, MaskPicture("artifacts/…", polarity, **said), width, height, field=field)


def test_a_mask_comes_back_from_its_png():
    mask = noise(20, 30).astype(np.float32) / 255
    data = encode_mask(mask)
    np.testing.assert_allclose(read(data, Polarity.WHITE_INSIDE, 30, 20), mask, atol=1e-6)
    np.testing.assert_allclose(read(data, Polarity.BLACK_INSIDE, 30, 20), 1 - mask, atol=1e-6)


def test_a_mask_file_is_eight_bit_grey():
    mask = np.zeros((4, 5), np.float32)
    mask[1:3, 2:4] = 1
    image = Image.open(BytesIO(encode_mask(mask)))
    assert image.mode == "L" and np.array_equal(np.asarray(image), mask * 255)
    assert encode_mask(mask.astype(np.uint8)) == encode_mask(mask)


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (700, 900, 1, 300), (1299, 1999, 1, 1), (0, 0, 1300, 2000), None]
)
def test_a_small_region_in_a_large_mask_comes_back(box):
    mask = np.zeros((1300, 2000), np.float32)
    if box is not None:
        top, left, height, width = box
        mask[top : top + height, left : left + width] = 0.4
    for _ in range(2):  # with nothing known of empty strips, then with all
        assert np.array_equal(np.asarray(Image.open(BytesIO(encode_mask(mask)))), np.rint(mask * 255))


def test_alpha_masks_read_the_alpha_channel():
    levels = noise(20, 30, 4)
    opaque = read(saved(levels, "PNG"), Polarity.OPAQUE_INSIDE, 30, 20)
    np.testing.assert_allclose(opaque, levels[..., 3] / 255, atol=1e-6)
    clear = read(saved(levels, "PNG"), Polarity.TRANSPARENT_INSIDE, 30, 20)
    np.testing.assert_allclose(clear, 1 - levels[..., 3] / 255, atol=1e-6)


def test_masks_of_one_and_of_sixteen_bits_are_read_too():
    bits = noise(20, 30) > 127
    one = read(saved(Image.fromarray(bits), "PNG"), Polarity.WHITE_INSIDE, 30, 20)
    assert np.array_equal(one, bits)
    deep = noise(20, 30, dtype=np.uint16)
    sixteen = read(saved16(deep, ".png"), Polarity.WHITE_INSIDE, 30, 20)
    np.testing.assert_allclose(sixteen, np.where(deep > 128, deep / 65535, 0), atol=1e-6)


def test_a_picture_of_sixteen_bits_changes_nowhere_that_its_mask_shows_as_outside():
    levels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    mask = read(saved16(levels, ".png"), Polarity.WHITE_INSIDE, 20, 15)
    picture, patch = np.zeros((15, 20, 3), np.uint16), np.full((15, 20, 3), 65535, np.uint16)
    edited = inlay(picture, patch, PixelBox(0, 0, 20, 15), feather(mask, 0))
    shown = np.asarray(Image.open(BytesIO(encode_mask(mask))))
    assert (shown == 0).any() and not edited[shown == 0].any() and edited[shown > 0].all()


def test_a_mask_is_turned_upright_before_its_size_is_compared():
    data = saved(noise(20, 30), "PNG", exif=oriented(6))
    assert read(data, Polarity.WHITE_INSIDE, 20, 30).shape == (30, 20)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(InvalidRequest, match=r"30 x 20.*31 x 20") as refusal:
        read(saved(noise(20, 30), "PNG"), Polarity.WHITE_INSIDE, 31, 20)
    assert refusal.value.field == "region.mask.artifact"


def test_a_mask_of_another_size_is_scaled_with_fit():
    levels = np.zeros((20, 30), np.uint8)
    levels[4:8, 10:20] = 255
    mask = read(saved(levels, "PNG"), Polarity.WHITE_INSIDE, 15, 10, fit=True)
    assert mask.shape == (10, 15) and mask.dtype == np.float32
    assert np.array_equal(mask, levels[::2, ::2] / 255)
    outside = read(saved(levels, "PNG"), Polarity.BLACK_INSIDE, 15, 10, fit=True)
    assert np.array_equal(outside, 1 - mask)


def test_degrees_are_cut_at_the_threshold_after_the_mask_is_fitted():
    levels = np.zeros((4, 8), np.uint8)
    levels[:, 1:] = 255
    data = saved(levels, "PNG")
    kept = read(data, Polarity.WHITE_INSIDE, 4, 4, fit=True)
    assert kept[0].tolist() == [0.5, 1, 1, 1]
    assert read(data, Polarity.WHITE_INSIDE, 4, 4, fit=True, threshold=0.5).all()
    assert read(data, Polarity.WHITE_INSIDE, 4, 4, fit=True, threshold=0.51)[0].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("polarity", [Polarity.WHITE_INSIDE, Polarity.BLACK_INSIDE])
def test_a_threshold_that_is_a_degree_of_the_mask_takes_it_in(polarity):
    levels = np.array([[50, 51, 52]], np.uint8)
    levels = levels if polarity is Polarity.WHITE_INSIDE else 255 - levels
    assert read(saved(levels, "PNG"), polarity, 3, 1, threshold=0.2)[0].tolist() == [0, 1, 1]


def test_what_is_wrong_with_a_mask_is_named_by_the_whole_path_of_its_region():
    with pytest.raises(InvalidRequest, match="fit") as refusal:
        read(saved(noise(20, 30), "PNG"), Polarity.WHITE_INSIDE, 31, 20, field="further_edits[0].region")
    assert refusal.value.field == "further_edits[0].region.mask.artifact"


def test_a_mask_without_alpha_has_no_opaque_polarity():
    with pytest.raises(InvalidRequest, match="alpha") as refusal:
        read(saved(noise(20, 30), "PNG"), Polarity.OPAQUE_INSIDE, 30, 20)
    assert refusal.value.field == "region.mask.polarity"


def test_a_damaged_mask_names_the_field_of_the_mask():
    with pytest.raises(InvalidRequest) as refusal:
        read(b"no picture", Polarity.WHITE_INSIDE, 30, 20)
    assert refusal.value.field == "region.mask.artifact"
