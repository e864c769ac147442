import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.feather import feather
from intarsia.errors import EmptyRegion
from tests.canvas.drawing import distances, masks

widths = st.one_of(st.just(0.0), st.floats(0.01, 64))


@given(masks(), widths)
def test_a_feather_never_leaves_the_region(mask, pixels):
    alpha = feather(mask, pixels)
    assert alpha.dtype == np.float32 and alpha.shape == mask.shape
    assert (alpha[mask == 0] == 0).all()
    assert (alpha <= mask).all()
    assert (alpha[mask > 0] > 0).all()


@given(masks(soft=False), st.floats(0, 31))
def test_every_part_of_a_region_is_covered_somewhere(mask, pixels):
    alpha = feather(mask, pixels)
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for part in range(1, count):
        assert alpha[labels == part].max() >= 0.99


@given(masks(soft=False), st.floats(1, 30))
def test_what_lies_deeper_than_the_feather_is_covered_wholly(mask, pixels):
    alpha = feather(mask, pixels)
    assert (alpha[distances(mask == 0) > pixels + 1] == 1).all()


@given(masks(), st.floats(0, 31))
def test_a_feather_is_the_same_from_every_side(mask, pixels):
    alpha = feather(mask, pixels)
    for turn in (np.fliplr, np.flipud, np.transpose):
        turned = feather(np.ascontiguousarray(turn(mask)), pixels)
        np.testing.assert_allclose(turned, turn(alpha), atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), widths)
def test_the_edge_of_the_picture_is_not_a_border(height, width, pixels):
    mask = np.ones((height, width), np.float32)
    assert (feather(mask, pixels) == 1).all()


def test_it_rises_evenly_from_the_border():
    mask = np.zeros((100, 200), np.float32)
    mask[:, 50:] = 1
    alpha = feather(mask, 8)
    assert (alpha == alpha[:1]).all()
    np.testing.assert_allclose(
        alpha[0, 50:59], (np.arange(9) + 0.5) / 8 * (np.arange(9) < 8) + (np.arange(9) >= 8)
    )


def test_a_thin_tail_of_a_thick_body_is_not_lost():
    mask = np.zeros((120, 200), np.float32)
    mask[20:100, 10:90] = 1
    mask[58:63, 80:190] = 1
    alpha = feather(mask, 16)
    assert (alpha[60, 110:185] > 0.9).all()
    np.testing.assert_allclose(alpha[60, 10:18], (np.arange(8) + 0.5) / 16)


def test_a_thin_stripe_beside_a_thick_body_is_not_lost():
    mask = np.zeros((120, 120), np.float32)
    mask[20:100, 20:80] = 1
    mask[20:100, 82:85] = 1
    assert (feather(mask, 8)[30:90, 83] == 1).all()


@pytest.mark.parametrize("pixels", [3, 8, 40, 100])
def test_tiles_leave_no_trace(monkeypatch, pixels):
    mask = np.zeros((400, 500), np.float32)
    generator = np.random.default_rng(5)
    for _ in range(12):
        centre = tuple(int(n) for n in generator.integers(0, 400, 2))
        cv2.circle(mask, centre, int(generator.integers(2, 70)), 1, -1)
    whole = feather(mask, pixels)
    monkeypatch.setattr("canvas.feather._TILE", 64)
    np.testing.assert_allclose(feather(mask, pixels), whole, atol=1e-6)


def test_wide_feathers_rise_smoothly():
    mask = np.zeros((700, 700), np.float32)
    cv2.circle(mask, (350, 350), 300, 1, -1)
    alpha = feather(mask, 200)
    steps = np.abs(np.diff(alpha[350]))
    assert steps.max() < 0.02 and alpha[350, 350] == 1


def test_feathering_nothing_is_an_error():
    with pytest.raises(EmptyRegion):
        feather(np.zeros((5, 5), np.float32), 8)
