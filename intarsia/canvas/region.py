"""Regions: saying where in a picture something is. Mirrors `protos/intarsia/v1/region.proto`.

Coordinates are always pixels here: x runs right, y runs down, (0, 0) is the outer corner of the top left
pixel, so the picture spans [0, width) by [0, height).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from intarsia.errors import InvalidRequest


class Polarity(Enum):
    """Which pixels of a mask picture belong to the region."""

    WHITE_INSIDE = "white"
    BLACK_INSIDE = "black"
    OPAQUE_INSIDE = "opaque"
    TRANSPARENT_INSIDE = "transparent"


@dataclass(frozen=True)
class Click:
    """A point on the thing that is meant, or beside it if `outside`."""

    x: float
    y: float
    outside: bool = False


@dataclass(frozen=True)
class Clicks:
    """Points on, and beside, the thing that is meant."""

    clicks: tuple[Click, ...]


@dataclass(frozen=True)
class Box:
    """A rectangle around the thing, or the region itself if `exact`."""

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
    """A mask made elsewhere, by the artifact's name."""

    artifact: str
    polarity: Polarity


@dataclass(frozen=True)
class Words:
    """A noun phrase; candidates below `threshold` are dropped."""

    phrase: str
    threshold: float = 0.5


Selector = Clicks | Box | Polygon | MaskPicture | Words


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
    """Adjusts a mask, in this order: fill holes, grow, shrink, invert. Lengths are pixels."""

    fill_holes: int = 0
    grow: float = 0.0
    shrink: float = 0.0
    invert: bool = False
    feather: float = 8.0


@dataclass(frozen=True)
class Region:
    """One selector finds candidates, `choice` picks among them, `shaping` adjusts the outline."""

    selector: Selector
    choice: Choice = Best()
    shaping: Shaping = Shaping()


@dataclass(frozen=True, eq=False)
class Candidate:
    """What a selector found: a mask of the whole picture, and how sure the model is, in [0, 1]."""

    mask: np.ndarray
    score: float


def in_pixels(region: Region, width: int, height: int) -> Region:
    """The region with its coordinates read as fractions of the picture's width and height.

    Lengths in `shaping` are pixels already. A click at the very end (1.0) means the last pixel.
    """

    def inner(fraction: float, side: int) -> float:
        return side - 0.5 if fraction == 1.0 else fraction * side

    selector, choice = region.selector, region.choice
    if isinstance(selector, Clicks):
        selector = Clicks(
            tuple(replace(c, x=inner(c.x, width), y=inner(c.y, height)) for c in selector.clicks)
        )
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
    if isinstance(choice, Nearest):
        choice = Nearest(choice.x * width, choice.y * height)
    return replace(region, selector=selector, choice=choice)


def check_inside(region: Region, width: int, height: int) -> None:
    """Refuses coordinates that make no sense in a picture of this size, naming the field.

    Clicks must lie inside. Boxes and polygons may hang over the edge, but not lie wholly outside.
    """
    check = _CHECKS.get(type(region.selector))
    if check is not None:
        check(region.selector, width, height)
    if isinstance(region.choice, Nearest):
        _finite(region.choice.x, "region.choice.nearest.x")
        _finite(region.choice.y, "region.choice.nearest.y")


def _check_clicks(clicks: Clicks, width: int, height: int) -> None:
    for n, click in enumerate(clicks.clicks):
        for name, value, side, size in (("x", click.x, "wide", width), ("y", click.y, "high", height)):
            field = f"region.clicks.clicks[{n}].{name}"
            _finite(value, field)
            if not 0 <= value < size:
                raise InvalidRequest(
                    f"click {n} lies outside the picture: {name} is {value:g}, "
                    f"the picture is {size} pixels {side}",
                    field=field,
                )


def _check_box(box: Box, width: int, height: int) -> None:
    for low, high, side, size in (("left", "right", "wide", width), ("top", "bottom", "high", height)):
        start, end = getattr(box, low), getattr(box, high)
        _finite(start, f"region.box.{low}")
        _finite(end, f"region.box.{high}")
        if end <= start:
            raise InvalidRequest(
                f"the box has no extent: {high} is {end:g} and must be greater than {low}, {start:g}",
                field=f"region.box.{high}",
            )
        _overlaps(start, end, size, f"the box's {low} is {start:g}, its {high} {end:g}", side, (low, high))


def _overlaps(start: float, end: float, size: int, what: str, side: str, names: tuple[str, str]) -> None:
    if start >= size or end <= 0:
        name = names[0] if start >= size else names[1]
        raise InvalidRequest(
            f"the box lies outside the picture: {what}, the picture is {size} pixels {side}",
            field=f"region.box.{name}",
        )


def _check_polygon(polygon: Polygon, width: int, height: int) -> None:
    field = "region.polygon.corners"
    if len(polygon.corners) < 3:
        raise InvalidRequest(f"a polygon needs at least 3 corners, got {len(polygon.corners)}", field=field)
    for n, (x, y) in enumerate(polygon.corners):
        _finite(x, f"{field}[{n}].x")
        _finite(y, f"{field}[{n}].y")
    across, down = zip(*polygon.corners, strict=True)
    if min(across) >= width or max(across) <= 0 or min(down) >= height or max(down) <= 0:
        raise InvalidRequest(
            f"the polygon lies outside the picture: it spans x {min(across):g} to {max(across):g} and "
            f"y {min(down):g} to {max(down):g}, the picture is {width} x {height} pixels",
            field=field,
        )


def _finite(value: float, field: str) -> None:
    if not math.isfinite(value):
        raise InvalidRequest(f"{field.rpartition('.')[2]} must be a finite number, got {value}", field=field)


_CHECKS: dict[type, Callable[..., None]] = {
    Clicks: _check_clicks,
    Box: _check_box,
    Polygon: _check_polygon,
}
