"""Regions read as they are said."""

from __future__ import annotations

import pytest

import intarsia
from intarsia import errors
from intarsia.v1 import region_pb2 as v1


def test_every_word_has_its_place() -> None:
    where = intarsia.clicks((120, 80), (130, 95), beside=[(40, 40)])
    where = where.filled(64).grown(4).shrunk(2).inverted().feathered(0).choosing(2)
    clicks = [v1.Click(x=120, y=80), v1.Click(x=130, y=95), v1.Click(x=40, y=40, outside=True)]
    assert where.proto == v1.Region(
        clicks=v1.Clicks(clicks=clicks),
        choice=v1.Choice(index=2),
        shaping=v1.Shaping(fill_holes=64, grow=4, shrink=2, invert=True, feather=0),
    )


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (intarsia.click(1, 2), v1.Region(clicks=v1.Clicks(clicks=[v1.Click(x=1, y=2)]))),
        (intarsia.box(1, 2, 3, 4), v1.Region(box=v1.Box(left=1, top=2, right=3, bottom=4))),
        (intarsia.rectangle(1, 2, 3, 4), v1.Region(box=v1.Box(left=1, top=2, right=3, bottom=4, exact=True))),
        (
            intarsia.polygon((0, 0), (0.5, 0), (0, 1)).relative(),
            v1.Region(
                polygon=v1.Polygon(corners=[v1.Corner(), v1.Corner(x=0.5), v1.Corner(y=1)]),
                units=v1.UNITS_RELATIVE,
            ),
        ),
        (intarsia.words("a dress"), v1.Region(words=v1.Words(phrase="a dress"))),
        (intarsia.words("a dress", threshold=0), v1.Region(words=v1.Words(phrase="a dress", threshold=0))),
        (
            intarsia.mask(f"artifacts/{'a' * 64}", inside="transparent"),
            v1.Region(
                mask=v1.Mask(artifact=f"artifacts/{'a' * 64}", polarity=v1.POLARITY_TRANSPARENT_INSIDE)
            ),
        ),
    ],
)
def test_each_selector(said: intarsia.Region, meant: v1.Region) -> None:
    assert said.proto == meant
    assert said.mask is None


def test_choices() -> None:
    where = intarsia.words("a dress")
    rules = [where.choosing(which).proto.choice.WhichOneof("rule") for which in ("best", "all", 0)]
    assert rules == ["best", "all", "index"]
    assert where.nearest(3, 4).proto.choice.nearest == v1.Corner(x=3, y=4)
    assert where.choosing("all").choosing(1).proto.choice == v1.Choice(index=1)


def test_a_region_never_changes() -> None:
    plain = intarsia.click(1, 2)
    before = plain.proto.SerializeToString()
    plain.grown(4).inverted().relative().choosing("all")
    assert plain.proto.SerializeToString() == before


def test_inverting_twice_is_nothing() -> None:
    assert not intarsia.click(1, 2).inverted().inverted().proto.shaping.invert


@pytest.mark.parametrize("which", ["worst", -1, 1.5, None])
def test_a_choice_that_is_none_is_refused(which: object) -> None:
    with pytest.raises(errors.InvalidRequest, match="best") as caught:
        intarsia.click(1, 2).choosing(which)  # type: ignore[arg-type]
    assert caught.value.field == "region.choice"


def test_a_mask_needs_a_polarity() -> None:
    with pytest.raises(errors.InvalidRequest, match="white, black, opaque, transparent"):
        intarsia.mask("m.png", inside="grey")


def test_a_shape_that_cannot_be_sent_is_refused_by_its_field() -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        intarsia.click(1, 2).filled(-1)
    assert caught.value.field == "region.shaping.fill_holes"
