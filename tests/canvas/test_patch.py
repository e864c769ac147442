import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.crop import PixelBox, WorkingSize, working_size
from canvas.patch import cut, cut_sheet, restore
from intarsia.errors import InternalError
from tests.canvas.drawing import random_picture

sides = st.integers(1, 200)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@given(width=sides, height=sides)
def test_a_crop_worked_at_its_own_size_comes_back_exactly(dtype, width, height):
    picture = random_picture(height + 3, width + 4, dtype)
    crop = PixelBox(4, 2, 4 + width, 2 + height)
    working = working_size(crop, smallest=1, largest=1000)
    patch = cut(picture, crop, working)
    assert patch.shape == (3, working.height, working.width) and patch.dtype == np.float32
    assert patch.flags["C_CONTIGUOUS"]
    assert np.array_equal(restore(patch, crop, working, dtype), picture[crop.window])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@given(width=sides, height=sides, size=st.integers(16, 300))
def test_a_sheet_in_bytes_is_the_patch_before_it_became_numbers(dtype, width, height, size):
    picture, crop = random_picture(height, width, dtype), PixelBox(0, 0, width, height)
    working = working_size(crop, smallest=1, largest=1, exact=size)
    sheet, patch = cut_sheet(picture, crop, working), cut(picture, crop, working)
    if dtype is np.uint16:
        assert sheet.dtype == np.float32 and np.array_equal(sheet, patch)
        return
    assert sheet.dtype == np.uint8 and sheet.flags["C_CONTIGUOUS"]
    assert np.array_equal(np.divide(sheet, 255, dtype=np.float32) * 2 - 1, patch)
    assert np.array_equal(restore(sheet, crop, working), restore(patch, crop, working))


@given(width=sides, height=sides, size=st.integers(16, 300))
def test_a_plain_colour_survives_any_scaling(width, height, size):
    picture = np.full((height, width, 3), (10, 128, 250), np.uint8)
    crop = PixelBox(0, 0, width, height)
    working = working_size(crop, smallest=1, largest=1, exact=size)
    patch = cut(picture, crop, working)
    np.testing.assert_allclose(patch, np.broadcast_to(patch[:, :1, :1], patch.shape), atol=2.1 / 255)
    assert np.abs(restore(patch, crop, working).astype(int) - picture).max() <= 1


def test_levels_run_from_minus_one_to_one():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    patch = cut(picture, PixelBox(0, 0, 64, 64), WorkingSize(64, 64, 0, 0, 64, 64))
    assert patch.min() == -1 and patch.max() == 1


def test_padding_mirrors_the_picture():
    picture = random_picture(64, 60)
    patch = cut(picture, PixelBox(0, 0, 60, 64), WorkingSize(64, 64, 2, 0, 62, 64))
    assert np.array_equal(patch[:, :, 1], patch[:, :, 3]) and np.array_equal(patch[:, :, 62], patch[:, :, 60])


def test_fine_texture_is_averaged_when_scaled_down():
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:, ::2] = 200
    crop = PixelBox(0, 0, 256, 256)
    patch = cut(picture, crop, working_size(crop, smallest=64, largest=64))
    np.testing.assert_allclose((patch + 1) * 127.5, 100, atol=0.6)


def test_values_beyond_the_range_are_clipped():
    working = WorkingSize(64, 64, 0, 0, 64, 64)
    pixels = restore(np.full((3, 64, 64), 1.7, np.float32), PixelBox(0, 0, 64, 64), working)
    assert (pixels == 255).all()


def test_a_patch_that_cannot_be_of_this_crop_is_refused():
    crop, working = PixelBox(0, 0, 64, 64), WorkingSize(64, 64, 0, 0, 64, 64)
    with pytest.raises(InternalError, match="shaped"):
        restore(np.zeros((3, 64, 72), np.float32), crop, working)
    patch = np.zeros((3, 64, 64), np.float32)
    patch[1, 2, 3] = np.nan
    with pytest.raises(InternalError, match="finite"):
        restore(patch, crop, working)
    with pytest.raises(InternalError, match="8 bits, expected uint16"):
        restore(np.zeros((3, 64, 64), np.uint8), crop, working, np.uint16)
