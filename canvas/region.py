"""Regions: descriptions of where in a picture something is. Mirrors `protos/intarsia/v1/region.proto`.

Coordinates are pixels: x runs right, y runs down, (0, 0) is the outer corner of the top left pixel, so the
picture spans [0, width) by [0, height). Those of a `relative` region are fractions of the picture's width
and height, until `in_pixels` makes them pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np


class Polarity(Enum):
    """The pixels of a mask picture that belong to the region."""

    WHITE_INSIDE = "white"
    BLACK_INSIDE = "black"
    OPAQUE_INSIDE = "opaque"
    TRANSPARENT_INSIDE = "transparent"


@dataclass(frozen=True)
class Click:
    """A point on the object that is meant, or beside it if `outside`."""

    x: float
    y: float
    outside: bool = False


@dataclass(frozen=True)
class Clicks:
    """Points on the object, and points outside it."""

    clicks: tuple[Click, ...]


@dataclass(frozen=True)
class Box:
    """A rectangle around the object, or the region itself if `exact`."""

    left: float
    top: float
    right: float
    bottom: float
    exact: bool = False


@dataclass(frozen=True)
class Polygon:
    """A closed outline of (x, y) corners; crossing lines follow the even-odd rule."""

    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class MaskPicture:
    """A mask stored as a picture, by the artifact's name.

    Degrees from `threshold` on become 1, those below 0; None keeps them. With `fit`, a mask of another size
    is scaled to the picture's size.
    """

    artifact: str
    polarity: Polarity
    threshold: float | None = None
    fit: bool = False


@dataclass(frozen=True)
class Words:
    """A noun phrase; candidates below `threshold` are dropped.

    So are candidates that share most of their pixels with an object named by one of `not_phrases`, and those
    that cover one of the points `not_at`, each (x, y).
    """

    phrase: str
    threshold: float = 0.5
    not_phrases: tuple[str, ...] = ()
    not_at: tuple[tuple[float, float], ...] = ()


class Operation(Enum):
    """The ways to combine a region with the terms before it."""

    PLUS = "plus"
    MINUS = "minus"
    WITHIN = "within"


@dataclass(frozen=True)
class Term:
    """A region, and how it combines with the terms before it."""

    operation: Operation
    region: Region


@dataclass(frozen=True)
class Combination:
    """Regions in order, each combined with the result of the terms before it."""

    terms: tuple[Term, ...]


Selector = Clicks | Box | Polygon | MaskPicture | Words | Combination


@dataclass(frozen=True)
class Best:
    """The candidate with the highest score."""


@dataclass(frozen=True)
class All:
    """The union of all candidates."""


@dataclass(frozen=True)
class Index:
    """The n-th candidate by falling score, from 0."""

    index: int


@dataclass(frozen=True)
class Nearest:
    """The candidate whose nearest pixel is closest to this point; of equals, the higher score."""

    x: float
    y: float


Choice = Best | All | Index | Nearest


@dataclass(frozen=True)
class Shaping:
    """Adjusts a mask, in this order: fill holes, grow, shrink, invert. Lengths are pixels.

    None leaves `grow` and `feather` to `resolve_shaping`; until then nothing is grown.
    """

    fill_holes: int = 0
    grow: float | None = None
    shrink: float = 0.0
    invert: bool = False
    feather: float | None = None


@dataclass(frozen=True)
class Region:
    """One selector finds candidates, `choice` picks among them, clicks correct it, `shaping` adjusts it."""

    selector: Selector
    choice: Choice = Best()
    shaping: Shaping = Shaping()
    corrections: tuple[Click, ...] = ()
    relative: bool = False


@dataclass(frozen=True, eq=False)
class MaskCandidate:
    """A mask of the whole picture that a selector found, and the model's confidence, in [0, 1].

    The mask is float32 degrees in [0, 1] if it was drawn, uint8 of 0 and 1 if a model returned it. Then
    `model_pixel` is how many of the picture's pixels a pixel of the model spans. `stability`, in [0, 1], says
    how little the mask depends on the level at which the model's map is cut off. `doubts` are those about the
    regions that it is combined from.
    """

    mask: np.ndarray
    score: float
    model_pixel: float | None = None
    stability: float = 1.0
    doubts: tuple[str, ...] = ()


def every(region: Region) -> Iterator[Region]:
    """Yields the region and all regions that it is combined from."""
    yield region
    if isinstance(region.selector, Combination):
        for term in region.selector.terms:
            yield from every(term.region)


def term_field(field: str, n: int) -> str:
    """The path of the n-th region of a combination, which is the region with the path `field`."""
    return f"{field}.combination.terms[{n}].region"


def in_pixels(region: Region, width: int, height: int) -> Region:
    """Converts the region, and all that it is combined from, from fractions of the picture to pixels.

    Lengths in `shaping` are pixels already. A point at 1.0 means the last pixel.
    """
    selector, choice, corrections = region.selector, region.choice, region.corrections
    if isinstance(selector, Combination):
        terms = (replace(term, region=in_pixels(term.region, width, height)) for term in selector.terms)
        selector = Combination(tuple(terms))
    if not region.relative:
        return replace(region, selector=selector)

    def inner(x: float, y: float) -> tuple[float, float]:
        return (width - 0.5 if x == 1.0 else x * width, height - 0.5 if y == 1.0 else y * height)

    def clicked(clicks: tuple[Click, ...]) -> tuple[Click, ...]:
        return tuple(Click(*inner(click.x, click.y), click.outside) for click in clicks)

    if isinstance(selector, Clicks):
        selector = Clicks(clicked(selector.clicks))
    elif isinstance(selector, Box):
        selector = replace(
            selector,
            left=selector.left * width,
            top=selector.top * height,
            right=selector.right * width,
            bottom=selector.bottom * height,
        )
    elif isinstance(selector, Polygon):
        selector = Polygon(tuple((x * width, y * height) for x, y in selector.corners))
    elif isinstance(selector, Words):
        selector = replace(selector, not_at=tuple(inner(x, y) for x, y in selector.not_at))
    if isinstance(choice, Nearest):
        choice = Nearest(choice.x * width, choice.y * height)
    return replace(region, selector=selector, choice=choice, corrections=clicked(corrections), relative=False)
