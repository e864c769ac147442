import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.crop import crop_around, working_size
from canvas.feather import feather
from canvas.inlay import inlay
from canvas.patch import cut, restore
from tests.canvas.drawing import masks, random_picture

depths = st.sampled_from([np.uint8, np.uint16])


@given(masks(), depths, depths, st.floats(0, 20), st.floats(0, 4))
def test_pixels_outside_the_region_keep_their_values(mask, depth, patch_depth, softness, context):
    picture = random_picture(*mask.shape, depth)
    crop = crop_around(mask, context=context)
    patch = random_picture(crop.height, crop.width, patch_depth, seed=1)
    before = picture.copy()
    result = inlay(picture, patch, crop, feather(mask, softness))
    assert result.dtype == depth and np.array_equal(picture, before)
    assert np.array_equal(result[mask == 0], picture[mask == 0])


@given(masks(soft=False), depths, st.floats(0, 20))
def test_a_patch_is_blended_to_the_nearest_value(mask, depth, softness):
    picture = random_picture(*mask.shape, depth)
    crop = crop_around(mask, context=0.5)
    patch = random_picture(crop.height, crop.width, depth, seed=1)
    alpha = feather(mask, softness)
    exact = picture.astype(np.float64)
    weight = alpha[crop.window][..., None].astype(np.float64)
    exact[crop.window] += weight * (patch.astype(np.float64) - exact[crop.window])
    assert np.abs(inlay(picture, patch, crop, alpha) - exact).max() <= 0.51
    assert np.array_equal(inlay(picture, patch, crop, np.ones_like(alpha))[crop.window], patch)


def test_an_eight_bit_patch_fits_a_sixteen_bit_picture():
    picture = np.zeros((64, 64, 3), np.uint16)
    mask = np.ones((64, 64), np.float32)
    result = inlay(picture, np.full((64, 64, 3), 128, np.uint8), crop_around(mask, context=0), mask)
    assert (result == 128 * 257).all()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_an_unchanged_patch_changes_nothing(depth):
    picture = random_picture(301, 203, depth)
    mask = np.zeros((301, 203), np.float32)
    mask[100:177, 31:90] = 1
    crop = crop_around(mask, context=0.5)
    working = working_size(crop, smallest=64, largest=512)
    patch = restore(cut(picture, crop, working), crop, working, depth)
    assert np.array_equal(inlay(picture, patch, crop, feather(mask, 8)), picture)
