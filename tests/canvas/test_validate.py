import math

import pytest

from canvas.region import (
    Box,
    Click,
    Clicks,
    Combination,
    MaskPicture,
    Nearest,
    Operation,
    Polarity,
    Polygon,
    Region,
    Term,
    Words,
)
from canvas.validate import check_inside
from intarsia.errors import InvalidRequest


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
        (Words("a cat", not_at=((1, 1), (1, 10))), "region.words.not_at[1].y"),
    ],
)
def test_invalid_coordinates_are_refused_by_field(selector, field):
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
def test_overhanging_shapes_and_clicks_up_to_the_edge_are_accepted(selector):
    check_inside(Region(selector), width=20, height=10)


def test_the_nearest_point_may_lie_outside_but_must_be_a_number():
    check_inside(Region(Box(0, 0, 5, 5), Nearest(-100, 5)), 20, 10)
    with pytest.raises(InvalidRequest) as refusal:
        check_inside(Region(Box(0, 0, 5, 5), Nearest(1, math.nan)), 20, 10)
    assert refusal.value.field == "region.choice.nearest.y"


def test_corrections_lie_in_the_picture():
    with pytest.raises(InvalidRequest) as refusal:
        check_inside(Region(Words("a cat"), corrections=(Click(1, 1), Click(20, 1, True))), 20, 10)
    assert refusal.value.field == "region.corrections[1].x"


def test_a_region_in_a_region_is_named_by_its_whole_path():
    wrong = Region(Box(0, 0, 5, 4), Nearest(math.inf, 1))
    inner = Region(Combination((Term(Operation.PLUS, Region(Words("a cat"))), Term(Operation.MINUS, wrong))))
    with pytest.raises(InvalidRequest) as refusal:
        check_inside(
            Region(Combination((Term(Operation.PLUS, inner),))), 20, 10, field="further_edits[2].region"
        )
    path = "further_edits[2].region.combination.terms[0].region.combination.terms[1].region.choice.nearest.x"
    assert refusal.value.field == path
