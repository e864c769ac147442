"""Regions off the wire."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from canvas.region import (
    All,
    Best,
    Box,
    Click,
    Clicks,
    Combination,
    Index,
    MaskPicture,
    Nearest,
    Operation,
    Polarity,
    Polygon,
    Region,
    Shaping,
    Term,
    Words,
)
from intarsia.errors import InvalidRequest
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import segmentation_pb2 as sg
from orchestrator.api import from_proto, region
from orchestrator.workflows.selection import FieldRegion

NAME = "artifacts/" + "9f" * 32


def clicks(*points: tuple[float, float], outside: bool = False) -> rg.Region:
    return rg.Region(clicks=rg.Clicks(clicks=[rg.Click(x=x, y=y, outside=outside) for x, y in points]))


def box(left: float = 1, top: float = 1, right: float = 2, bottom: float = 2, units: Any = 0) -> rg.Region:
    return rg.Region(box=rg.Box(left=left, top=top, right=right, bottom=bottom), units=units)


def corners(*points: tuple[float, float]) -> rg.Region:
    return rg.Region(polygon=rg.Polygon(corners=[rg.Corner(x=x, y=y) for x, y in points]))


def shaped(**shaping: Any) -> rg.Region:
    return rg.Region(box=box().box, shaping=rg.Shaping(**shaping))


PLUS, MINUS, WITHIN = rg.Term.OPERATION_PLUS, rg.Term.OPERATION_MINUS, rg.Term.OPERATION_WITHIN


def combined(*parts: rg.Region, operation: Any = MINUS, first: Any = PLUS) -> rg.Region:
    terms = [rg.Term(operation=operation if n else first, region=part) for n, part in enumerate(parts)]
    return rg.Region(combination=rg.Combination(terms=terms))


def nested(depth: int, inner: rg.Region) -> rg.Region:
    """So many combinations in each other."""
    return combined(nested(depth - 1, inner)) if depth else inner


def named(phrase: str = "dress", **said: Any) -> rg.Region:
    return rg.Region(words=rg.Words(phrase=phrase, **said))


def masked(**said: Any) -> rg.Region:
    return rg.Region(mask=rg.Mask(artifact=NAME, polarity=rg.POLARITY_WHITE_INSIDE, **said))


def corrected(*points: tuple[float, float], units: Any = 0) -> rg.Region:
    return rg.Region(words=named().words, units=units, corrections=clicks(*points).clicks.clicks)


NAN, INFINITE = math.nan, math.inf
unknown: Any = 77
WRONG = [
    ("region", rg.Region()),
    ("region.units", box(units=9)),
    ("region.clicks.clicks", rg.Region(clicks=rg.Clicks())),
    ("region.clicks.clicks", clicks(*[(1, 1)] * 65)),
    ("region.clicks.clicks", clicks((1, 1), outside=True)),
    ("region.clicks.clicks[1].x", clicks((1, 1), (NAN, 1))),
    ("region.clicks.clicks[0].y", clicks((1, -INFINITE))),
    ("region.box.left", box(left=NAN)),
    ("region.box.bottom", box(bottom=INFINITE)),
    ("region.box.right", box(left=2, right=2)),
    ("region.box.bottom", box(top=3, bottom=2)),
    ("region.box.right", box(0, 0, 1.5, 1, units=rg.UNITS_RELATIVE)),
    ("region.box.left", box(-0.1, 0, 1, 1, units=rg.UNITS_RELATIVE)),
    ("region.polygon.corners", corners((1, 1), (2, 2))),
    ("region.polygon.corners", corners(*[(1, 1)] * 10_001)),
    ("region.polygon.corners[2].y", corners((1, 1), (2, 2), (3, NAN))),
    ("region.mask.artifact", rg.Region(mask=rg.Mask(polarity=rg.POLARITY_WHITE_INSIDE))),
    ("region.mask.polarity", rg.Region(mask=rg.Mask(artifact=NAME))),
    ("region.mask.polarity", rg.Region(mask=rg.Mask(artifact=NAME, polarity=unknown))),
    ("region.words.phrase", rg.Region(words=rg.Words(phrase="  "))),
    ("region.words.phrase", rg.Region(words=rg.Words(phrase="x" * 201))),
    ("region.words.threshold", rg.Region(words=rg.Words(phrase="dress", threshold=1.5))),
    ("region.words.threshold", rg.Region(words=rg.Words(phrase="dress", threshold=NAN))),
    ("region.words.not_phrases", named(not_phrases=["belt"] * 17)),
    ("region.words.not_phrases[1]", named(not_phrases=["belt", " "])),
    ("region.words.not_phrases[0]", named(not_phrases=["x" * 201])),
    ("region.words.not_at", named(not_at=[rg.Corner()] * 65)),
    ("region.words.not_at[1].x", named(not_at=[rg.Corner(), rg.Corner(x=NAN)])),
    ("region.mask.threshold", masked(threshold=0)),
    ("region.mask.threshold", masked(threshold=1.5)),
    ("region.mask.threshold", masked(threshold=NAN)),
    ("region.corrections", corrected(*[(1, 1)] * 65)),
    ("region.corrections[1].y", corrected((1, 1), (1, INFINITE))),
    ("region.corrections[0].x", corrected((1.5, 1), units=rg.UNITS_RELATIVE)),
    ("region.combination.terms", rg.Region(combination=rg.Combination())),
    ("region.combination.terms[0].operation", combined(box(), first=MINUS)),
    ("region.combination.terms[0].operation", combined(box(), first=WITHIN)),
    ("region.combination.terms[1].operation", combined(box(), box(), operation=0)),
    ("region.combination.terms[1].operation", combined(box(), box(), operation=unknown)),
    ("region.combination.terms[1].region", combined(box(), rg.Region())),
    ("region.combination.terms[1].region.box.right", combined(box(), box(left=5))),
    ("region.combination.terms[1].region.units", combined(box(), box(units=9))),
    ("region.combination.terms[0].region.shaping.grow", combined(shaped(grow=-1))),
    (
        "region.combination.terms[0].region.combination.terms[1].region.words.threshold",
        combined(combined(box(), named(threshold=2))),
    ),
    (
        "region.combination.terms[1].region.shaping.feather",
        combined(box(), shaped(feather=0)),
    ),
    ("region" + ".combination.terms[0].region" * 4 + ".combination", nested(5, box())),
    ("region", combined(*[box()] * 65)),
    ("region", combined(*[combined(*[box()] * 13)] * 5)),
    (
        "region.choice.nearest.y",
        rg.Region(box=box().box, choice=rg.Choice(nearest=rg.Corner(x=1, y=NAN))),
    ),
    ("region.shaping.grow", shaped(grow=1025)),
    ("region.shaping.grow", shaped(grow=-1)),
    ("region.shaping.shrink", shaped(shrink=NAN)),
    ("region.shaping.feather", shaped(feather=257)),
]


@pytest.mark.parametrize(("field", "message"), WRONG)
def test_a_wrong_field_is_named(field: str, message: rg.Region) -> None:
    with pytest.raises(InvalidRequest) as caught:
        region.field_region(message)
    assert caught.value.field == field
    assert len(caught.value.message) > 20


def reals(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, width=32)


UNIT = reals(0, 1)


@st.composite
def points(draw: st.DrawFn, most: int = 9) -> tuple[list[rg.Click], tuple[Click, ...]]:
    drawn = draw(st.lists(st.tuples(UNIT, UNIT, st.booleans()), max_size=most))
    return [rg.Click(x=x, y=y, outside=o) for x, y, o in drawn], tuple(Click(*point) for point in drawn)


@st.composite
def selectors(draw: st.DrawFn, depth: int) -> tuple[dict[str, Message], Any]:
    kinds = ["clicks", "box", "polygon", "mask", "words", "combination"]
    kind = draw(st.sampled_from(kinds if depth else kinds[:-1]))
    if kind == "clicks":
        said, meant = draw(points(63))
        message: Message = rg.Clicks(clicks=[*said, rg.Click(x=0.5, y=0.5)])
        return {kind: message}, Clicks((*meant, Click(0.5, 0.5)))
    if kind == "box":
        left, top = draw(reals(0, 0.5)), draw(reals(0, 0.5))
        right, bottom = draw(reals(0.75, 1)), draw(reals(0.75, 1))
        exact = draw(st.booleans())
        message = rg.Box(left=left, top=top, right=right, bottom=bottom, exact=exact)
        return {kind: message}, Box(left, top, right, bottom, exact)
    if kind == "polygon":
        outline = draw(st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=9))
        message = rg.Polygon(corners=[rg.Corner(x=x, y=y) for x, y in outline])
        return {kind: message}, Polygon(tuple(outline))
    if kind == "mask":
        polarity = draw(st.sampled_from(list(Polarity)))
        threshold, fit = draw(st.none() | reals(0.125, 1)), draw(st.booleans())
        number = rg.Polarity.Value(f"POLARITY_{polarity.name}")
        message = rg.Mask(artifact=NAME, polarity=number, threshold=threshold, fit=fit)
        return {kind: message}, MaskPicture(NAME, polarity, threshold, fit)
    if kind == "combination":
        parts = draw(st.lists(regions(depth - 1, feathered=False), min_size=1, max_size=3))
        does = [Operation.PLUS, *draw(st.lists(st.sampled_from(Operation), min_size=2, max_size=2))]
        terms = [
            rg.Term(operation=f"OPERATION_{operation.name}", region=said)
            for operation, (said, _) in zip(does, parts, strict=False)
        ]
        means = [Term(operation, target.region) for operation, (_, target) in zip(does, parts, strict=False)]
        return {kind: rg.Combination(terms=terms)}, Combination(tuple(means))
    phrase, threshold = draw(PHRASES), draw(UNIT)
    not_phrases = draw(st.lists(PHRASES, max_size=16))
    not_at = draw(st.lists(st.tuples(UNIT, UNIT), max_size=9))
    words = rg.Words(phrase=phrase, threshold=threshold, not_phrases=not_phrases)
    words.not_at.extend(rg.Corner(x=x, y=y) for x, y in not_at)
    return {kind: words}, Words(phrase, threshold, tuple(not_phrases), tuple(not_at))


PHRASES = st.text(min_size=1, max_size=200).filter(str.strip)


@st.composite
def regions(draw: st.DrawFn, depth: int = 2, feathered: bool = True) -> tuple[rg.Region, FieldRegion]:
    selector: Any
    selector, meant = draw(selectors(depth))
    x, y, index = draw(UNIT), draw(UNIT), draw(st.integers(0, 2**32 - 1))
    choice: rg.Choice
    rule: Any
    choice, rule = draw(
        st.sampled_from(
            [
                (rg.Choice(), Best()),
                (rg.Choice(best=rg.Choice.Best()), Best()),
                (rg.Choice(all=rg.Choice.All()), All()),
                (rg.Choice(index=index), Index(index)),
                (rg.Choice(nearest=rg.Corner(x=x, y=y)), Nearest(x, y)),
            ]
        )
    )
    shaping: dict[str, Any] = {
        "fill_holes": draw(st.integers(0, 2**32 - 1)),
        "grow": draw(reals(0, 1024)),
        "shrink": draw(reals(0, 1024)),
        "invert": draw(st.booleans()),
    }
    if feathered:
        shaping["feather"] = draw(reals(0, 256))
    said, corrections = draw(points())
    relative, keeps = draw(st.booleans()), draw(st.booleans())
    # A growth of 0 leaves the choice to the server, unless the outline is to be kept.
    shaped = {**shaping, "grow": shaping["grow"] if shaping["grow"] or keeps else None}
    message = rg.Region(
        **selector,
        choice=choice,
        shaping=rg.Shaping(**shaping, keep_outline=keeps),
        units=rg.UNITS_RELATIVE if relative else rg.UNITS_PIXELS,
        corrections=said,
    )
    return message, FieldRegion(Region(meant, rule, Shaping(**shaped), corrections, relative))


@given(regions())
def test_any_region_means_the_same_on_both_sides(drawn: tuple[rg.Region, FieldRegion]) -> None:
    message, meant = drawn
    crossed = sg.SegmentRegionRequest.FromString(
        sg.SegmentRegionRequest(picture=NAME, region=message).SerializeToString()
    )
    assert from_proto.segment_region(crossed).target == meant


@pytest.mark.parametrize(
    "most", [nested(4, box()), combined(*[box()] * 64), combined(*[combined(*[box()] * 16)] * 4)]
)
def test_a_region_may_be_put_together_from_many(most: rg.Region) -> None:
    assert isinstance(region.field_region(most).region.selector, Combination)


def test_a_region_is_named_by_the_field_it_is_read_from() -> None:
    wrong = combined(box(), box(left=5))
    with pytest.raises(InvalidRequest, match=r"further_edits\[3\].region.combination.terms") as caught:
        region.field_region(wrong, "further_edits[3].region")
    assert caught.value.field == "further_edits[3].region.combination.terms[1].region.box.right"
    assert region.field_region(box(), "further_edits[3].region").field == "further_edits[3].region"
