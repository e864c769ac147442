"""Regions off the wire. What can be judged without the picture is judged here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intarsia.canvas.region import (
    All,
    Best,
    Box,
    Choice,
    Click,
    Clicks,
    Index,
    MaskPicture,
    Nearest,
    Polarity,
    Polygon,
    Region,
    Selector,
    Shaping,
    Words,
)
from intarsia.errors import InvalidRequest
from intarsia.v1 import region_pb2 as pb
from orchestrator.api import fields
from orchestrator.workflows.segment_region import Place

_RELATIVE: Mapping[int, bool] = {
    pb.UNITS_UNSPECIFIED: False,
    pb.UNITS_PIXELS: False,
    pb.UNITS_RELATIVE: True,
}
_POLARITIES: Mapping[int, Polarity] = {
    pb.POLARITY_WHITE_INSIDE: Polarity.WHITE_INSIDE,
    pb.POLARITY_BLACK_INSIDE: Polarity.BLACK_INSIDE,
    pb.POLARITY_OPAQUE_INSIDE: Polarity.OPAQUE_INSIDE,
    pb.POLARITY_TRANSPARENT_INSIDE: Polarity.TRANSPARENT_INSIDE,
}

# Reads a coordinate: its value and the path of its field.
_Coordinate = Callable[[float, str], float]


def place(message: pb.Region) -> Place:
    """A region and the unit of its coordinates."""
    selector = message.WhichOneof("selector")
    if selector is None:
        raise InvalidRequest(
            "region needs a selector: clicks, a box, a polygon, a mask or words", field="region"
        )
    relative = fields.one_of(message.units, "region.units", _RELATIVE)
    coordinate = _fraction if relative else fields.number
    region = Region(
        selector=_SELECTORS[selector](getattr(message, selector), coordinate),
        choice=_choice(message.choice, coordinate),
        shaping=_shaping(message.shaping),
    )
    return Place(region, relative)


def _clicks(message: pb.Clicks, coordinate: _Coordinate) -> Selector:
    field = "region.clicks.clicks"
    if not 1 <= len(message.clicks) <= 64:
        raise InvalidRequest(f"{field} must be 1 to 64 points, not {len(message.clicks)}", field=field)
    if all(click.outside for click in message.clicks):
        raise InvalidRequest(
            "at least one click must lie on the thing that is meant; all of them say `outside`", field=field
        )
    return Clicks(
        tuple(
            Click(
                coordinate(click.x, f"{field}[{n}].x"), coordinate(click.y, f"{field}[{n}].y"), click.outside
            )
            for n, click in enumerate(message.clicks)
        )
    )


def _box(message: pb.Box, coordinate: _Coordinate) -> Selector:
    left, top, right, bottom = (
        coordinate(getattr(message, edge), f"region.box.{edge}")
        for edge in ("left", "top", "right", "bottom")
    )
    if right <= left:
        raise InvalidRequest(
            f"region.box.right must be greater than left, {left:g}, not {right:g}", field="region.box.right"
        )
    if bottom <= top:
        raise InvalidRequest(
            f"region.box.bottom must be greater than top, {top:g}, not {bottom:g}", field="region.box.bottom"
        )
    return Box(left, top, right, bottom, message.exact)


def _polygon(message: pb.Polygon, coordinate: _Coordinate) -> Selector:
    field = "region.polygon.corners"
    if not 3 <= len(message.corners) <= 10_000:
        raise InvalidRequest(f"{field} must be 3 to 10000, not {len(message.corners)}", field=field)
    return Polygon(
        tuple(
            (coordinate(corner.x, f"{field}[{n}].x"), coordinate(corner.y, f"{field}[{n}].y"))
            for n, corner in enumerate(message.corners)
        )
    )


def _mask(message: pb.Mask, _: _Coordinate) -> Selector:
    if message.polarity == pb.POLARITY_UNSPECIFIED:
        raise InvalidRequest(
            "region.mask.polarity is required: say which end of the grey scale, or of the alpha channel, "
            "belongs to the region",
            field="region.mask.polarity",
        )
    return MaskPicture(
        fields.artifact(message.artifact, "region.mask.artifact"),
        fields.one_of(message.polarity, "region.mask.polarity", _POLARITIES),
    )


def _words(message: pb.Words, _: _Coordinate) -> Selector:
    threshold = message.threshold if fields.given(message, "threshold") else 0.5
    return Words(
        fields.words(message.phrase, "region.words.phrase", at_most=200, required=True),
        fields.between(threshold, "region.words.threshold", 0, 1),
    )


_SELECTORS: Mapping[str, Callable[[Any, _Coordinate], Selector]] = {
    "clicks": _clicks,
    "box": _box,
    "polygon": _polygon,
    "mask": _mask,
    "words": _words,
}


def _choice(message: pb.Choice, coordinate: _Coordinate) -> Choice:
    rule = message.WhichOneof("rule")
    if rule == "all":
        return All()
    if rule == "index":
        return Index(message.index)
    if rule == "nearest":
        field = "region.choice.nearest"
        return Nearest(
            coordinate(message.nearest.x, f"{field}.x"), coordinate(message.nearest.y, f"{field}.y")
        )
    return Best()


def _shaping(message: pb.Shaping) -> Shaping:
    feather = message.feather if fields.given(message, "feather") else Shaping().feather
    return Shaping(
        fill_holes=message.fill_holes,
        grow=fields.between(message.grow, "region.shaping.grow", 0, 1024),
        shrink=fields.between(message.shrink, "region.shaping.shrink", 0, 1024),
        invert=message.invert,
        feather=fields.between(feather, "region.shaping.feather", 0, 256),
    )


def _fraction(value: float, field: str) -> float:
    return fields.between(value, field, 0, 1)
