import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.box import PixelBox
from canvas.mask import (
    apply_threshold,
    bounding_box,
    box_mask,
    choose,
    combine,
    degrees,
    mask_from_picture,
    polygon_mask,
    resize_mask,
    shape,
)
from canvas.region import All, Best, Box, Index, MaskCandidate, Nearest, Operation, Polarity, Shaping
from intarsia.errors import EmptyRegion, InvalidRequest
from tests.canvas.drawing import masks, ring

sides = st.integers(-10, 40)


def test_a_drawn_box_covers_its_pixels_and_no_more():
    mask = box_mask(Box(2, 1, 5, 3), height=6, width=8)
    assert mask.dtype == np.float32
    assert mask.sum() == 6 and (mask[1:3, 2:5] == 1).all()


@given(sides, sides, st.integers(1, 30), st.integers(1, 30))
def test_a_polygon_with_the_corners_of_a_box_is_that_box(left, top, width, height):
    right, bottom = left + width, top + height
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    assert np.array_equal(polygon_mask(corners, 30, 25), box_mask(Box(left, top, right, bottom), 30, 25))


@given(st.lists(st.tuples(st.floats(-9, 40), st.floats(-9, 40)), min_size=3, max_size=9))
def test_polygons_follow_the_even_odd_rule(corners):
    mask = polygon_mask(corners, 20, 30)
    rows, columns = np.indices(mask.shape) + 0.5
    expected = np.zeros(mask.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        spans = (min(y0, y1) <= rows) & (rows < max(y0, y1))
        slope = (x1 - x0) / (y1 - y0) if spans.any() else 0.0
        expected ^= spans & (x0 + (rows - y0) * slope <= columns)
    assert np.array_equal(mask, expected.astype(np.float32))


def test_a_self_crossing_star_is_empty_in_the_middle():
    turns = np.arange(5) * 4 * np.pi / 5
    mask = polygon_mask(list(zip(50 + 40 * np.sin(turns), 50 - 40 * np.cos(turns), strict=True)), 100, 100)
    assert mask[50, 50] == 0 and mask[20, 50] == 1


def test_polygons_that_share_an_edge_share_no_pixel():
    one = polygon_mask([(0, 0), (20, 0), (0, 20)], 20, 20)
    other = polygon_mask([(20, 0), (20, 20), (0, 20)], 20, 20)
    assert np.array_equal(one + other, np.ones((20, 20), np.float32))


def zigzag(corners, height, width):
    return [(n % width, height if n % 2 else -height) for n in range(corners)]


def test_an_outline_that_would_take_minutes_to_draw_is_refused():
    with pytest.raises(InvalidRequest, match="fewer corners") as refusal:
        polygon_mask(zigzag(10_000, 65_500, 8), 65_500, 8)
    assert refusal.value.field == "region.polygon.corners"


def test_only_the_rows_of_the_picture_count_as_work():
    assert polygon_mask(zigzag(10_001, 1e6, 30), 20, 30).shape == (20, 30)


@pytest.mark.parametrize(
    ("polarity", "degrees"),
    [
        (Polarity.WHITE_INSIDE, [0, 0.4, 1]),
        (Polarity.OPAQUE_INSIDE, [0, 0.4, 1]),
        (Polarity.BLACK_INSIDE, [1, 0.6, 0]),
        (Polarity.TRANSPARENT_INSIDE, [1, 0.6, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_of_a_mask_picture_are_degrees(polarity, degrees, dtype):
    whole = np.iinfo(dtype).max
    mask = mask_from_picture(np.array([[0, whole * 0.4, whole]]).astype(dtype), polarity)
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, [degrees], atol=1e-6)


@pytest.mark.parametrize(("level", "degree"), [(128, 0), (129, 129 / 65535)])
@pytest.mark.parametrize("polarity", [Polarity.WHITE_INSIDE, Polarity.TRANSPARENT_INSIDE])
def test_degrees_that_a_mask_picture_shows_as_0_become_0(polarity, level, degree):
    levels = np.array([[level, 65535]], np.uint16)
    levels = levels if polarity is Polarity.WHITE_INSIDE else 65535 - levels
    np.testing.assert_allclose(mask_from_picture(levels, polarity), [[degree, 1]], atol=1e-6)


def test_both_polarities_give_the_same_degree():
    levels = np.arange(256, dtype=np.uint8)[np.newaxis]
    from_white = mask_from_picture(levels, Polarity.WHITE_INSIDE)
    assert np.array_equal(mask_from_picture(255 - levels, Polarity.BLACK_INSIDE), from_white)
    assert apply_threshold(from_white, 0.2).sum() == 256 - 51


def test_degrees_from_the_threshold_on_are_inside():
    soft = np.array([[0, 0.2, 0.5, 0.7, 1]], np.float32)
    assert apply_threshold(soft, 0.5).tolist() == [[0, 0, 1, 1, 1]]
    assert apply_threshold(soft, 1.0).tolist() == [[0, 0, 0, 0, 1]]


@given(masks(), st.integers(1, 60), st.integers(1, 60))
def test_a_resized_mask_keeps_its_range_and_its_share_of_the_picture(mask, height, width):
    assert np.array_equal(resize_mask(mask, *mask.shape), mask)
    brought = resize_mask(mask, height, width)
    assert brought.shape == (height, width) and brought.dtype == np.float32
    assert brought.min() >= 0 and brought.max() <= mask.max() + 1e-6
    assert (brought[brought > 0] >= 0.5 / 255).all()
    if height <= mask.shape[0] and width <= mask.shape[1]:
        assert brought.mean() == pytest.approx(mask.mean(), abs=0.5 / 255)


def test_a_mask_made_twice_as_large_has_its_edges_in_the_same_place():
    mask = box_mask(Box(4, 2, 10, 8), height=12, width=16)
    assert np.array_equal(
        apply_threshold(resize_mask(mask, 24, 32), 0.5), box_mask(Box(8, 4, 20, 16), 24, 32)
    )


def test_shaping_leaves_no_degree_that_a_mask_picture_shows_as_0():
    nearly = np.full((9, 9), 0.999, np.float32)
    assert not shape(nearly, Shaping(invert=True)).any()
    nearly[4, 4] = 0.001
    assert not shape(nearly, Shaping(shrink=9)).any()


def speck(x, y, score):
    mask = np.zeros((20, 30), np.float32)
    mask[y : y + 2, x : x + 2] = 1
    return MaskCandidate(mask, score)


def test_choices_pick_by_score_number_place_or_take_all():
    low, high, middle = candidates = [speck(2, 2, 0.2), speck(10, 10, 0.9), speck(25, 15, 0.5)]
    assert choose(candidates, Best()) is high
    assert choose(candidates, Index(0)) is high
    assert choose(candidates, Index(1)) is middle
    assert choose(candidates, Index(2)) is low
    assert choose(candidates, Nearest(0, 0)) is low
    assert choose(candidates, Nearest(29, 19)) is middle
    together = choose(candidates, All())
    assert together.mask.sum() == 12 and together.score == 0.9


def test_of_equally_near_candidates_the_surer_one_is_meant():
    candidates = [speck(4, 4, 0.2), speck(4, 4, 0.9), speck(6, 4, 0.5)]
    assert choose(candidates, Nearest(5.5, 5.5)) is candidates[1]
    assert choose(candidates, Nearest(6.0, 5.0)) is candidates[1]


def test_an_empty_candidate_is_never_the_nearest():
    empty = MaskCandidate(np.zeros((20, 30), np.float32), 1.0)
    full = speck(25, 15, 0.1)
    assert choose([empty, full], Nearest(0, 0)) is full


def test_choosing_among_no_candidates_is_an_error():
    with pytest.raises(EmptyRegion):
        choose([], Best())
    with pytest.raises(InvalidRequest) as refusal:
        choose([speck(0, 0, 1)], Index(1), field="further_edits[0].region")
    assert refusal.value.field == "further_edits[0].region.choice.index"


def test_candidates_of_models_have_the_same_degrees_as_drawn_ones():
    drawn = speck(2, 2, 0.2)
    found = MaskCandidate(drawn.mask.astype(np.uint8), 0.2)
    assert choose([found], Nearest(0, 0)) is found
    assert degrees(found).dtype == np.float32 and np.array_equal(degrees(found), drawn.mask)
    assert degrees(drawn) is drawn.mask


def test_everything_but_the_selection():
    assert np.array_equal(shape(ring(3), Shaping(invert=True)), 1 - ring(3))


def test_shaping_leaves_its_input_alone():
    mask = ring(3)
    shape(mask, Shaping(fill_holes=9, grow=2, shrink=1, invert=True))
    assert np.array_equal(mask, ring(3))


@given(masks())
def test_the_box_around_a_region_holds_it_and_touches_it(mask):
    box = bounding_box(mask)
    assert (mask[box.window] > 0).sum() == (mask > 0).sum()
    part = mask[box.window]
    assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()


def test_the_box_of_one_pixel_is_one_pixel():
    mask = np.zeros((7, 9), np.float32)
    mask[6, 8] = 0.01
    assert bounding_box(mask) == PixelBox(8, 6, 9, 7)


def test_an_empty_region_is_an_error():
    with pytest.raises(EmptyRegion):
        bounding_box(np.zeros((7, 9), np.float32))


def drawn_masks(soft):
    """Three masks of one size: each a drawn box, or degrees of any kind."""
    boxes = st.tuples(sides, sides, st.integers(1, 30), st.integers(1, 30))
    drawn = boxes.map(lambda box: box_mask(Box(box[0], box[1], box[0] + box[2], box[1] + box[3]), 30, 25))
    if soft:
        levels = st.integers(0, 2**32 - 1).map(
            lambda seed: np.random.default_rng(seed).integers(0, 256, (30, 25), np.uint8)
        )
        drawn = st.one_of(drawn, levels.map(lambda level: mask_from_picture(level, Polarity.WHITE_INSIDE)))
    return st.tuples(drawn, drawn, drawn)


@given(drawn_masks(soft=False), st.lists(st.sampled_from(list(Operation)), min_size=2, max_size=2))
def test_drawn_shapes_combine_as_sets_do(drawn, operations):
    mask, expected = drawn[0], drawn[0] > 0
    for other, operation in zip(drawn[1:], operations, strict=True):
        mask = combine(mask, other, operation)
        inside = other > 0
        if operation is Operation.PLUS:
            expected = expected | inside
        elif operation is Operation.MINUS:
            expected = expected & ~inside
        else:
            expected = expected & inside
    assert mask.dtype == np.float32
    assert np.array_equal(mask, expected.astype(np.float32))


@given(drawn_masks(soft=True))
def test_adding_and_keeping_within_do_not_depend_on_the_order(drawn):
    one, other, third = drawn
    for operation in (Operation.PLUS, Operation.WITHIN):
        assert np.array_equal(combine(one, other, operation), combine(other, one, operation))
        first = combine(combine(one, other, operation), third, operation)
        assert np.array_equal(first, combine(one, combine(other, third, operation), operation))
        assert np.array_equal(combine(one, one, operation), one)
    minus = Operation.MINUS
    assert np.array_equal(
        combine(combine(one, other, minus), third, minus), combine(combine(one, third, minus), other, minus)
    )


@given(drawn_masks(soft=True))
def test_a_combination_never_selects_what_none_of_its_regions_does(drawn):
    one, other, _ = drawn
    nothing, everything = np.zeros_like(one), np.ones_like(one)
    plus, minus, within = (combine(one, other, operation) for operation in Operation)
    assert ((one > 0) | (other > 0))[plus > 0].all() and plus.max() <= 1
    assert (minus <= one).all() and not minus[other == 1].any()
    assert (within <= one).all() and (within <= other).all()
    for mask in (plus, minus, within):
        assert (mask[mask > 0] >= 0.5 / 255).all()
    assert np.array_equal(combine(one, nothing, Operation.MINUS), one)
    assert not combine(one, everything, Operation.MINUS).any()
    assert np.array_equal(combine(one, everything, Operation.WITHIN), one)


def test_combining_leaves_both_masks_alone():
    one, other = ring(3), speck(5, 5, 1).mask[:, :20]
    for operation in Operation:
        combine(one, other, operation)
    assert np.array_equal(one, ring(3)) and other.sum() == 4
