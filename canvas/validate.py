"""Validates a region's coordinates against the size of its picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from canvas.region import Box, Click, Clicks, Combination, Nearest, Polygon, Region, Words, term_field
from intarsia.errors import InvalidRequest


def check_inside(region: Region, width: int, height: int, *, field: str = "region") -> None:
    """Rejects coordinates that are not valid in a picture of this size, naming the field.

    Clicks must lie inside. Boxes and polygons may reach over the edge, but not lie entirely outside. All
    coordinates are pixels here; `field` is the path of the region.
    """
    check = _CHECKS.get(type(region.selector))
    if check is not None:
        check(region.selector, width, height, field)
    _check_clicks(region.corrections, width, height, f"{field}.corrections")
    if isinstance(region.choice, Nearest):
        _finite(region.choice.x, f"{field}.choice.nearest.x")
        _finite(region.choice.y, f"{field}.choice.nearest.y")


def _check_selector_clicks(clicks: Clicks, width: int, height: int, field: str) -> None:
    _check_clicks(clicks.clicks, width, height, f"{field}.clicks.clicks")


def _check_clicks(clicks: Iterable[Click], width: int, height: int, field: str) -> None:
    for n, click in enumerate(clicks):
        _check_point(click.x, click.y, width, height, f"click {n}", f"{field}[{n}]")


def _check_words(words: Words, width: int, height: int, field: str) -> None:
    for n, (x, y) in enumerate(words.not_at):
        _check_point(x, y, width, height, f"point {n}", f"{field}.words.not_at[{n}]")


def _check_point(x: float, y: float, width: int, height: int, what: str, field: str) -> None:
    for name, value, side, size in (("x", x, "wide", width), ("y", y, "high", height)):
        _finite(value, f"{field}.{name}")
        if not 0 <= value < size:
            raise InvalidRequest(
                f"{what} lies outside the picture: {name} is {value:g}, the picture is {size} pixels {side}",
                field=f"{field}.{name}",
            )


def _check_box(box: Box, width: int, height: int, field: str) -> None:
    for low, high, side, size in (("left", "right", "wide", width), ("top", "bottom", "high", height)):
        start, end = getattr(box, low), getattr(box, high)
        _finite(start, f"{field}.box.{low}")
        _finite(end, f"{field}.box.{high}")
        if end <= start:
            raise InvalidRequest(
                f"the box has no extent: {high} is {end:g} and must be greater than {low}, {start:g}",
                field=f"{field}.box.{high}",
            )
        if start >= size or end <= 0:
            raise InvalidRequest(
                f"the box lies outside the picture: the box's {low} is {start:g}, its {high} {end:g}, "
                f"the picture is {size} pixels {side}",
                field=f"{field}.box.{low if start >= size else high}",
            )


def _check_polygon(polygon: Polygon, width: int, height: int, field: str) -> None:
    field = f"{field}.polygon.corners"
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


def _check_combination(combination: Combination, width: int, height: int, field: str) -> None:
    for n, term in enumerate(combination.terms):
        check_inside(term.region, width, height, field=term_field(field, n))


def _finite(value: float, field: str) -> None:
    if not math.isfinite(value):
        raise InvalidRequest(f"{field.rpartition('.')[2]} must be a finite number, got {value}", field=field)


_CHECKS: dict[type, Callable[[Any, int, int, str], None]] = {
    Clicks: _check_selector_clicks,
    Box: _check_box,
    Polygon: _check_polygon,
    Words: _check_words,
    Combination: _check_combination,
}
