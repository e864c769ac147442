import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.view import GAP, blank, layer, overlay, side_by_side
from tests.canvas.drawing import masks, random_picture

depths = st.sampled_from([np.uint8, np.uint16])


@given(st.integers(1, 30), st.integers(1, 30), depths)
def test_side_by_side_has_white_between_the_pictures(height, width, depth):
    before, after = random_picture(height, width, depth), random_picture(height, width, depth, seed=1)
    sheet = side_by_side(before, after)
    assert sheet.shape == (height, 2 * width + GAP, 3) and sheet.dtype == depth
    assert np.array_equal(sheet[:, :width], before)
    assert (sheet[:, width : width + GAP] == np.iinfo(depth).max).all()
    assert np.array_equal(sheet[:, width + GAP :], after)


@given(masks(), depths)
def test_blank_is_white_where_the_region_is_and_nowhere_else(mask, depth):
    picture = random_picture(*mask.shape, depth)
    before = picture.copy()
    sheet = blank(picture, mask)
    assert (sheet[mask >= 0.5] == np.iinfo(depth).max).all()
    assert np.array_equal(sheet[mask < 0.5], picture[mask < 0.5])
    assert np.array_equal(picture, before)


@given(masks(), depths, st.booleans())
def test_a_layer_over_the_picture_before_makes_the_picture_after(mask, depth, everywhere):
    before = random_picture(*mask.shape, depth)
    after = np.where((mask > 0)[..., None], random_picture(*mask.shape, depth, seed=1), before)
    sheet = layer(before, after)
    assert sheet.dtype == depth and sheet.shape == (*mask.shape, 4)
    opaque = sheet[..., 3:] / np.iinfo(depth).max
    assert set(np.unique(opaque)) <= {0.0, 1.0}
    assert np.array_equal(opaque * sheet[..., :3] + (1 - opaque) * before, after)
    assert (sheet[(before == after).all(axis=2)] == 0).all()


@given(masks(), depths)
def test_an_overlay_changes_the_region_and_its_rim(mask, depth):
    picture = random_picture(*mask.shape, depth)
    before = picture.copy()
    sheet = overlay(picture, mask)
    assert sheet.dtype == depth and np.array_equal(picture, before)
    near = np.pad(mask > 0, 1)
    near = near[1:-1, 1:-1] | near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
    assert np.array_equal(sheet[~near], picture[~near])


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_the_outline_is_visible_on_any_background(ground):
    picture = np.full((400, 600, 3), ground, np.uint8)
    mask = np.zeros((400, 600), np.float32)
    mask[100:200, 100:200] = 1
    sheet = overlay(picture, mask)
    assert (sheet[99, 110:190] == 255).all() and (sheet[100, 110:190] == 0).all()
    inside = sheet[150, 150].astype(int)
    assert np.abs(inside - ground).max() > 50 and not np.array_equal(inside, np.full(3, inside[0]))


def test_a_region_at_the_edge_has_an_outline_there():
    sheet = overlay(np.full((50, 50, 3), 200, np.uint8), np.ones((50, 50), np.float32))
    assert (sheet[0] == 0).all() and (sheet[:, -1] == 0).all() and (sheet[1, 1:-1] != 0).any()


def test_an_empty_region_leaves_the_picture_alone():
    picture = random_picture(20, 30)
    assert np.array_equal(overlay(picture, np.zeros((20, 30), np.float32)), picture)
