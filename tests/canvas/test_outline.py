import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from canvas import outline
from canvas.box import PixelBox
from canvas.mask import (
    bounding_box,
    shape,
)
from canvas.outline import remove_specks
from canvas.region import Shaping
from tests.canvas.drawing import distances, masks, ring

lengths = st.integers(1, 1200).map(lambda hundredths: hundredths / 100)


def is_no_tie(away: np.ndarray, by: float) -> bool:
    """Whether no distance is so near to a length that rounding decides."""
    return not (np.abs(away - by) < 1e-3).any() or float(by).is_integer()


@given(masks(soft=False), lengths)
def test_growing_takes_in_exactly_what_is_near(mask, by):
    away = distances(mask > 0)
    assume(is_no_tie(away, by))
    expected = away <= by
    assert np.array_equal(shape(mask, Shaping(grow=by)), expected.astype(np.float32))


@given(masks(soft=False), lengths)
def test_shrinking_drops_exactly_what_is_near_the_outside(mask, by):
    away = distances(mask == 0)
    assume(is_no_tie(away, by))
    expected = away > by
    assert np.array_equal(shape(mask, Shaping(shrink=by)), expected.astype(np.float32))


@given(masks(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 60), st.booleans())
def test_shaping_treats_all_sides_alike(mask, grow, shrink, holes, invert):
    shaping = Shaping(grow=grow, shrink=shrink, fill_holes=holes, invert=invert)
    for turn in (np.fliplr, np.flipud, np.transpose):
        turned = np.ascontiguousarray(turn(mask))
        assert np.array_equal(shape(turned, shaping), turn(shape(mask, shaping)))


@given(masks(soft=True), st.floats(0.1, 9), st.floats(0.1, 9))
def test_soft_masks_grow_and_shrink_without_leaving_their_range(mask, grow, shrink):
    wider, narrower = shape(mask, Shaping(grow=grow)), shape(mask, Shaping(shrink=shrink))
    assert (wider >= mask).all() and wider.max() == mask.max()
    assert (narrower <= mask + 1e-6).all() and narrower.min() >= 0


def test_a_soft_mask_of_one_degree_keeps_it():
    mask = np.zeros((15, 15), np.float32)
    mask[5:10, 5:10] = 0.3
    grown = shape(mask, Shaping(grow=2))
    assert set(np.unique(grown)) == {np.float32(0), np.float32(0.3)} and grown[7, 3] > 0 and grown[7, 2] == 0


def test_tiles_leave_no_trace(monkeypatch):
    mask = (np.random.default_rng(3).random((90, 130)) < 0.003).astype(np.float32)
    whole = shape(mask, Shaping(grow=11.5, shrink=4))
    monkeypatch.setattr(outline, "_TILE", 16)
    assert np.array_equal(shape(mask, Shaping(grow=11.5, shrink=4)), whole)


@pytest.fixture
def looked_at(monkeypatch):
    """How many pixels were looked at, call by call."""
    seen, measure = [], cv2.distanceTransform

    def counted(picture, *settings):
        seen.append(picture.size)
        return measure(picture, *settings)

    monkeypatch.setattr(cv2, "distanceTransform", counted)
    return seen


def test_a_soft_mask_of_a_large_picture_is_moved_at_fewer_levels(monkeypatch, looked_at):
    mask = np.zeros((60, 80), np.float32)
    mask[30, 10:70] = np.linspace(1 / 60, 1, 60)
    assert len(np.unique(shape(mask, Shaping(grow=5)))) > 16
    assert len(looked_at) == 16
    monkeypatch.setattr(outline, "_PIXELS", 6 * looked_at[0])
    looked_at.clear()
    coarse = shape(mask, Shaping(grow=5))
    assert len(looked_at) == 6
    assert (coarse >= mask).all() and coarse.max() == 1 and 4 <= len(np.unique(coarse[28])) <= 10


def test_a_wide_growth_visits_few_pixels_outside_its_tiles(monkeypatch, looked_at):
    monkeypatch.setattr(outline, "_TILE", 16)
    mask = np.zeros((400, 400), np.float32)
    mask[::40, ::40] = 1
    shape(mask, Shaping(grow=30))
    assert sum(looked_at) < 3 * mask.size


def test_holes_are_filled_up_to_the_given_size():
    assert shape(ring(3), Shaping(fill_holes=9)).sum() == 144
    assert np.array_equal(shape(ring(3), Shaping(fill_holes=8)), ring(3))


def test_a_bay_at_the_edge_of_the_picture_is_no_hole():
    mask = np.ones((9, 9), np.float32)
    mask[3:5, 0:2] = 0
    assert np.array_equal(shape(mask, Shaping(fill_holes=50)), mask)


def test_holes_are_filled_before_growing_and_inverting_comes_last():
    shaped = shape(ring(3), Shaping(fill_holes=9, grow=2, shrink=3, invert=True))
    expected = np.ones((20, 20), np.float32)
    expected[5:15, 5:15] = 0
    assert np.array_equal(shaped[5:15, 5:15], expected[5:15, 5:15])
    assert shaped[4, 10] == 1 and shaped[15, 10] == 1 and shaped[10, 4] == 1 and shaped[10, 15] == 1


def test_exactness_of_the_distances_far_along_a_strip():
    mask = np.zeros((3, 20000), np.float32)
    mask[:, 19000] = 1
    assert bounding_box(shape(mask, Shaping(grow=600))) == PixelBox(18400, 0, 19601, 3)


def test_growing_agrees_with_a_round_brush():
    mask = np.zeros((61, 61), np.float32)
    mask[30, 30] = 1
    grown = shape(mask, Shaping(grow=25))
    rows, columns = np.indices(mask.shape) - 30
    assert np.array_equal(grown > 0, rows**2 + columns**2 <= 625)
    assert cv2.countNonZero(grown) == (rows**2 + columns**2 <= 625).sum()


def test_specks_are_dropped_and_parts_are_kept():
    mask = np.zeros((60, 80), np.uint8)
    mask[5:35, 5:35] = 1  # 900 pixels
    mask[40:44, 40:44] = 1  # a part of its own: 16 pixels
    mask[50, 70] = mask[2, 60] = mask[3, 61] = 1  # two specks, one of them two pixels that touch at a corner
    clean = remove_specks(mask)
    assert clean.dtype == np.uint8 and clean.sum() == 900 + 16
    assert np.array_equal(remove_specks(clean), clean)
    assert remove_specks(np.zeros((3, 3), np.uint8)).sum() == 0
    assert np.array_equal(remove_specks(np.pad(mask, 5)), np.pad(clean, 5))  # wherever it is
    alone = np.zeros((9, 9), np.uint8)
    alone[4, 4] = 1
    assert np.array_equal(remove_specks(alone), alone)
