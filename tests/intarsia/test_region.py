"""Regions read as they are said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import intarsia
from intarsia import errors
from intarsia.region import as_region
from intarsia.v1 import region_pb2 as v1
from tests.intarsia.double import Double

STORED = f"artifacts/{'a' * 64}"


def test_every_word_has_its_place() -> None:
    where = intarsia.clicks((120, 80), (130, 95), outside=[(40, 40)])
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
            intarsia.words("a dress", not_words=["belt", "hat"], not_at=[(1, 2)]),
            v1.Region(
                words=v1.Words(phrase="a dress", not_phrases=["belt", "hat"], not_at=[v1.Corner(x=1, y=2)])
            ),
        ),
        (
            intarsia.words("a dress", not_words="belt"),
            v1.Region(words=v1.Words(phrase="a dress", not_phrases=["belt"])),
        ),
        (
            intarsia.mask(STORED, inside="transparent"),
            v1.Region(mask=v1.Mask(artifact=STORED, polarity=v1.POLARITY_TRANSPARENT_INSIDE)),
        ),
        (
            intarsia.mask(STORED, inside="white", threshold=0.5, fit=True),
            v1.Region(
                mask=v1.Mask(artifact=STORED, polarity=v1.POLARITY_WHITE_INSIDE, threshold=0.5, fit=True)
            ),
        ),
        (
            intarsia.mask(None, inside="white"),
            v1.Region(mask=v1.Mask(polarity=v1.POLARITY_WHITE_INSIDE)),
        ),
        (
            intarsia.click(1, 2).corrected(on=[(3, 4)]).corrected(outside=[(5, 6)]),
            v1.Region(
                clicks=v1.Clicks(clicks=[v1.Click(x=1, y=2)]),
                corrections=[v1.Click(x=3, y=4), v1.Click(x=5, y=6, outside=True)],
            ),
        ),
    ],
)
def test_each_selector(said: intarsia.Region, meant: v1.Region) -> None:
    assert said.proto == meant
    assert not said.masks


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


PLUS, MINUS, WITHIN = v1.Term.OPERATION_PLUS, v1.Term.OPERATION_MINUS, v1.Term.OPERATION_WITHIN


def combined(*terms: tuple[v1.Term.Operation, v1.Region]) -> v1.Region:
    made = [v1.Term(operation=operation, region=region) for operation, region in terms]
    return v1.Region(combination=v1.Combination(terms=made))


def test_regions_are_put_together_by_signs() -> None:
    a, b = intarsia.click(1, 2), intarsia.words("hat").grown(3)
    assert (a | b).proto == combined((PLUS, a.proto), (PLUS, b.proto))
    assert (a - b).proto == combined((PLUS, a.proto), (MINUS, b.proto))
    assert (a & b).proto == combined((PLUS, a.proto), (WITHIN, b.proto))
    assert (~a).proto == a.inverted().proto


def test_what_is_put_together_from_left_to_right_is_one_combination() -> None:
    a, b, c, d = (intarsia.words(name) for name in "abcd")
    one = combined((PLUS, a.proto), (PLUS, b.proto), (MINUS, c.proto), (WITHIN, d.proto))
    assert (((a | b) - c) & d).proto == one
    assert (a | (b - c)).proto == combined((PLUS, a.proto), (PLUS, (b - c).proto))


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.grown(2),
        lambda whole: whole.choosing("all"),
        lambda whole: whole.corrected(on=[(1, 2)]),
        lambda whole: ~whole,
    ],
)
def test_what_was_said_about_a_combination_holds_for_all_of_it(
    change: Callable[[intarsia.Region], intarsia.Region],
) -> None:
    whole = change(intarsia.words("a") | intarsia.words("b"))
    more = whole - intarsia.words("c")
    assert more.proto == combined((PLUS, whole.proto), (MINUS, intarsia.words("c").proto))


def test_putting_together_leaves_the_parts_as_they_were() -> None:
    a, b = intarsia.click(1, 2), intarsia.click(3, 4)
    whole = a | b
    before = [region.proto.SerializeToString() for region in (a, b, whole)]
    assert (whole - a).grown(2).relative().proto != whole.proto
    assert [region.proto.SerializeToString() for region in (a, b, whole)] == before


def test_fractions_are_all_coordinates_said_so_far() -> None:
    whole = (intarsia.click(0.1, 0.2) | intarsia.click(0.3, 0.4)).relative() - intarsia.click(5, 6)
    inner = whole.proto.combination.terms[0].region
    assert [term.region.units for term in inner.combination.terms] == [v1.UNITS_RELATIVE] * 2
    assert whole.proto.units == whole.proto.combination.terms[1].region.units == v1.UNITS_UNSPECIFIED


def test_a_region_and_something_else_cannot_be_put_together() -> None:
    with pytest.raises(TypeError):
        intarsia.click(1, 2) | "hat"  # type: ignore[operator]


def test_masks_of_this_machine_are_named_wherever_they_are() -> None:
    first, second, third = (intarsia.mask(name, inside="white") for name in ("1.png", "2.png", "3.png"))
    stored = intarsia.mask(STORED, inside="black")
    whole = (stored | first) - (second.grown(2) - third)
    assert whole.masks == {(1,): "1.png", (2, 0): "2.png", (2, 1): "3.png"}
    before = whole.proto.SerializeToString()
    terms = whole.naming(
        {path: f"artifacts/{source}" for path, source in whole.masks.items()}
    ).combination.terms
    assert [terms[n].region.mask.artifact for n in range(2)] == [STORED, "artifacts/1.png"]
    inner = [term.region.mask.artifact for term in terms[2].region.combination.terms]
    assert inner == ["artifacts/2.png", "artifacts/3.png"]
    assert whole.proto.SerializeToString() == before


def test_every_mask_of_a_region_is_uploaded(client: intarsia.Client, double: Double, photo: Path) -> None:
    other = photo.with_name("mask.png")
    other.write_bytes(b"a mask")
    here, there = intarsia.mask(photo, inside="white"), intarsia.mask(b"more", inside="opaque")
    client.segment_region(photo, (here | intarsia.mask(other, inside="black")) - there)
    terms = double.requests("SegmentRegion")[0].region.combination.terms
    stored = [double.stored[term.region.mask.artifact] for term in terms]
    assert stored == [photo.read_bytes(), b"a mask", b"more"]


@pytest.mark.parametrize("which", ["worst", -1, 1.5, None])
def test_an_invalid_choice_is_refused(which: object) -> None:
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


def test_what_moves_an_outline_adds_up() -> None:
    where = intarsia.click(1, 2).grown(3).grown(2.5).shrunk(1).shrunk(np.float32(1))
    assert where.proto.shaping == v1.Shaping(grow=5.5, shrink=2)
    for wrong, opposite in ((-3, "shrunk"), ("3", "shrunk"), (float("nan"), "shrunk")):
        with pytest.raises(errors.InvalidRequest, match=f"`{opposite}` is the opposite") as refused:
            intarsia.click(1, 2).grown(wrong)  # type: ignore[arg-type]
        assert refused.value.field == "region.shaping.grow"


@pytest.mark.parametrize("edges", [(30, 10, 10, 60), (10, 60, 30, 60), (0, 0, float("nan"), 5)])
def test_a_box_whose_edges_are_in_another_order_is_refused(edges: tuple[float, float, float, float]) -> None:
    for shape in (intarsia.box, intarsia.rectangle):
        with pytest.raises(errors.InvalidRequest, match="left < right and top < bottom") as refused:
            shape(*edges)
        assert refused.value.field == "region.box"


def test_numbers_and_arrays_stand_for_regions() -> None:
    assert as_region((120, 80)) == intarsia.click(120, 80)
    assert as_region([np.float32(1), np.int64(2), 3.5, 4]) == intarsia.box(1, 2, 3.5, 4)  # type: ignore[arg-type]
    found = as_region(np.eye(4, dtype=bool))
    assert found.proto == v1.Region(mask=v1.Mask(polarity=v1.POLARITY_WHITE_INSIDE))
    assert list(found.masks) == [()]
    for wrong in ((1, 2, 3), "hat", None, [(1, 2), (3, 4)]):
        with pytest.raises(errors.InvalidRequest, match=r"seen cannot be .* a point \(x, y\)") as refused:
            as_region(wrong, "seen")  # type: ignore[arg-type]
        assert refused.value.field == "seen"


def test_a_mask_of_another_type_is_refused_as_a_mask() -> None:
    with pytest.raises(errors.InvalidRequest, match="must be uint8 or uint16") as refused:
        as_region(np.zeros((4, 4), np.float32))
    assert refused.value.field == "region.mask"


def test_a_growth_of_0_is_said_since_the_server_would_choose_another() -> None:
    assert intarsia.click(1, 2).grown(0).proto.shaping == v1.Shaping(keep_outline=True)
    assert intarsia.click(1, 2).grown(3).proto.shaping == v1.Shaping(grow=3)
