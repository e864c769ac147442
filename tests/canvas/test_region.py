import math

import pytest

from intarsia.canvas.region import (
    Box,
    Click,
    Clicks,
    MaskPicture,
    Nearest,
    Polarity,
    Polygon,
    Region,
    Shaping,
    Words,
    check_inside,
    in_pixels,
)
from intarsia.errors import InvalidRequest


def test_fractions_become_pixels_and_lengths_stay():
    region = Region(Box(0.1, 0.25, 0.5, 1.0), Nearest(0.5, 0.5), Shaping(grow=3))
    assert in_pixels(region, 200, 100) == Region(Box(20, 25, 100, 100), Nearest(100, 50), Shaping(grow=3))


def test_a_click_at_the_very_end_means_the_last_pixel():
    region = in_pixels(Region(Clicks((Click(1.0, 0.0, outside=True),))), 200, 100)
    assert region.selector == Clicks((Click(199.5, 0.0, outside=True),))
    check_inside(region, 200, 100)


def test_corners_scale_and_words_do_not():
    assert in_pixels(Region(Polygon(((0, 0), (1, 0), (1, 1)))), 8, 4).selector == Polygon(
        ((0, 0), (8, 0), (8, 4))
    )
    words = Region(Words("yellow dress"))
    assert in_pixels(words, 8, 4) == words


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        (Clicks((Click(1, 1), Click(20, 1))), "region.clicks.clicks[1].x"),
        (Clicks((Click(1, -0.1),)), "region.clicks.clicks[0].y"),
        (Clicks((Click(math.nan, 1),)), "region.clicks.clicks[0].x"),
        (Box(5, 0, 5, 4), "region.box.right"),
        (Box(0, 4, 5, 3), "region.box.bottom"),
        (Box(20, 0, 25, 4), "region.box.left"),
        (Box(-5, 0, 0, 4), "region.box.right"),
        (Box(0, -9, 4, -2), "region.box.bottom"),
        (Box(0, 0, math.inf, 4), "region.box.right"),
        (Polygon(((0, 0), (1, 1))), "region.polygon.corners"),
        (Polygon(((30, 0), (40, 0), (35, 5))), "region.polygon.corners"),
        (Polygon(((0, 0), (1, math.inf), (2, 2))), "region.polygon.corners[1].y"),
    ],
)
def test_coordinates_that_make_no_sense_are_refused_by_name(selector, field):
    with pytest.raises(InvalidRequest) as refusal:
        check_inside(Region(selector), width=20, height=10)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "selector",
    [
        Clicks((Click(0, 0), Click(19.9, 9.9))),
        Box(-5, -5, 1, 1),
        Box(-5, -5, 100, 100),
        Polygon(((-5, -5), (3, 0), (0, 3))),
        MaskPicture("artifacts/x", Polarity.WHITE_INSIDE),
        Words("a cat"),
    ],
)
def test_overhanging_shapes_and_clicks_up_to_the_edge_are_welcome(selector):
    check_inside(Region(selector), width=20, height=10)


def test_the_nearest_point_may_lie_outside_but_must_be_a_number():
    check_inside(Region(Box(0, 0, 5, 5), Nearest(-100, 5)), 20, 10)
    with pytest.raises(InvalidRequest) as refusal:
        check_inside(Region(Box(0, 0, 5, 5), Nearest(1, math.nan)), 20, 10)
    assert refusal.value.field == "region.choice.nearest.y"
