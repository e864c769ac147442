"""From messages to regions. Everything that needs no picture is checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvas.region import (
    All,
    Best,
    Box,
    Choice,
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
    Selector,
    Shaping,
    Term,
    Words,
    term_field,
)
from intarsia.errors import InvalidRequest
from intarsia.v1 import region_pb2 as pb
from orchestrator.api import fields
from orchestrator.workflows.selection import FieldRegion

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
_OPERATIONS: Mapping[int, Operation] = {
    pb.Term.OPERATION_PLUS: Operation.PLUS,
    pb.Term.OPERATION_MINUS: Operation.MINUS,
    pb.Term.OPERATION_WITHIN: Operation.WITHIN,
}
# How many selectors a region may be put together from, and how deep.
_MOST_SELECTORS, _DEEPEST = 64, 4

# Reads a coordinate: its value and the path of its field.
_Coordinate = Callable[[float, str], float]


def field_region(message: pb.Region, field: str = "region") -> FieldRegion:
    """A region, read from the field with this path."""
    selectors = _counted(message, field)
    if selectors > _MOST_SELECTORS:
        raise InvalidRequest(
            f"{field} has {selectors} selectors, and at most {_MOST_SELECTORS} are allowed; combine fewer "
            "regions",
            field=field,
        )
    return FieldRegion(_region(message, field), field)


def _counted(message: pb.Region, field: str, depth: int = 0) -> int:
    """The number of selectors in a region. Refuses combinations that lie too deep in each other."""
    if not message.HasField("combination"):
        return 1
    if depth == _DEEPEST:
        raise InvalidRequest(
            f"at most {_DEEPEST} combinations may lie in each other; name the regions one after the other",
            field=f"{field}.combination",
        )
    terms = enumerate(message.combination.terms)
    return sum(_counted(term.region, term_field(field, n), depth + 1) for n, term in terms)


def _region(message: pb.Region, field: str) -> Region:
    selector = message.WhichOneof("selector")
    if selector is None:
        raise InvalidRequest(
            f"{field} needs a selector: clicks, a box, a polygon, a mask, words or a combination", field=field
        )
    relative = fields.enum_value(message.units, f"{field}.units", _RELATIVE)
    coordinate = _fraction if relative else fields.finite
    return Region(
        selector=_SELECTORS[selector](getattr(message, selector), f"{field}.{selector}", coordinate),
        choice=_choice(message.choice, f"{field}.choice", coordinate),
        shaping=_shaping(message.shaping, f"{field}.shaping"),
        corrections=_points(message.corrections, f"{field}.corrections", coordinate, least=0),
        relative=relative,
    )


def _points(
    clicks: Sequence[pb.Click], field: str, coordinate: _Coordinate, *, least: int
) -> tuple[Click, ...]:
    if not least <= len(clicks) <= 64:
        raise InvalidRequest(f"{field} must be {least} to 64 points, not {len(clicks)}", field=field)
    return tuple(
        Click(coordinate(click.x, f"{field}[{n}].x"), coordinate(click.y, f"{field}[{n}].y"), click.outside)
        for n, click in enumerate(clicks)
    )


def _clicks(message: pb.Clicks, field: str, coordinate: _Coordinate) -> Selector:
    clicks = _points(message.clicks, f"{field}.clicks", coordinate, least=1)
    if all(click.outside for click in clicks):
        raise InvalidRequest(
            "at least one click must be on the object; all of them have `outside`",
            field=f"{field}.clicks",
        )
    return Clicks(clicks)


def _box(message: pb.Box, field: str, coordinate: _Coordinate) -> Selector:
    left, top, right, bottom = (
        coordinate(getattr(message, edge), f"{field}.{edge}") for edge in ("left", "top", "right", "bottom")
    )
    if right <= left:
        raise InvalidRequest(
            f"{field}.right must be greater than left, {left:g}, not {right:g}", field=f"{field}.right"
        )
    if bottom <= top:
        raise InvalidRequest(
            f"{field}.bottom must be greater than top, {top:g}, not {bottom:g}", field=f"{field}.bottom"
        )
    return Box(left, top, right, bottom, message.exact)


def _polygon(message: pb.Polygon, field: str, coordinate: _Coordinate) -> Selector:
    field = f"{field}.corners"
    if not 3 <= len(message.corners) <= 10_000:
        raise InvalidRequest(f"{field} must be 3 to 10000, not {len(message.corners)}", field=field)
    return Polygon(_corners(message.corners, field, coordinate))


def _corners(
    corners: Iterable[pb.Corner], field: str, coordinate: _Coordinate
) -> tuple[tuple[float, float], ...]:
    return tuple(
        (coordinate(corner.x, f"{field}[{n}].x"), coordinate(corner.y, f"{field}[{n}].y"))
        for n, corner in enumerate(corners)
    )


def _mask(message: pb.Mask, field: str, _: _Coordinate) -> Selector:
    if message.polarity == pb.POLARITY_UNSPECIFIED:
        raise InvalidRequest(
            f"{field}.polarity is required: say which end of the grey scale, or of the alpha channel, "
            "belongs to the region",
            field=f"{field}.polarity",
        )
    threshold = message.threshold if fields.is_set(message, "threshold") else None
    if threshold is not None and not 0 < threshold <= 1:
        raise InvalidRequest(
            f"{field}.threshold must be in (0, 1], not {threshold:g}; leave it out to keep all degrees",
            field=f"{field}.threshold",
        )
    return MaskPicture(
        fields.artifact(message.artifact, f"{field}.artifact"),
        fields.enum_value(message.polarity, f"{field}.polarity", _POLARITIES),
        threshold=threshold,
        fit=message.fit,
    )


def _words(message: pb.Words, field: str, coordinate: _Coordinate) -> Selector:
    threshold = message.threshold if fields.is_set(message, "threshold") else 0.5
    for name, most in (("not_phrases", 16), ("not_at", 64)):
        if (given := len(getattr(message, name))) > most:
            raise InvalidRequest(
                f"{field}.{name} may be {most} at most, not {given}", field=f"{field}.{name}"
            )
    return Words(
        fields.text(message.phrase, f"{field}.phrase", at_most=200, required=True),
        fields.in_range(threshold, f"{field}.threshold", 0, 1),
        not_phrases=tuple(
            fields.text(phrase, f"{field}.not_phrases[{n}]", at_most=200, required=True)
            for n, phrase in enumerate(message.not_phrases)
        ),
        not_at=_corners(message.not_at, f"{field}.not_at", coordinate),
    )


def _combination(message: pb.Combination, field: str, _: _Coordinate) -> Selector:
    if not message.terms:
        raise InvalidRequest(
            f"{field}.terms is empty; name the regions that are to be combined", field=f"{field}.terms"
        )
    terms = (_term(term, f"{field}.terms[{n}]", first=n == 0) for n, term in enumerate(message.terms))
    return Combination(tuple(terms))


def _term(message: pb.Term, field: str, *, first: bool) -> Term:
    if message.operation == pb.Term.OPERATION_UNSPECIFIED:
        raise InvalidRequest(
            f"{field}.operation is required: say whether the region is added, taken away or kept within",
            field=f"{field}.operation",
        )
    operation = fields.enum_value(message.operation, f"{field}.operation", _OPERATIONS)
    if first and operation is not Operation.PLUS:
        raise InvalidRequest(
            f"{field}.operation must be OPERATION_PLUS: there is nothing before the first region",
            field=f"{field}.operation",
        )
    fields.reject_if_set(
        message.region.shaping,
        "feather",
        f"{field}.region.shaping",
        why="the regions of a combination have none of their own; feather the whole of them instead",
    )
    return Term(operation, _region(message.region, f"{field}.region"))


_SELECTORS: Mapping[str, Callable[[Any, str, _Coordinate], Selector]] = {
    "clicks": _clicks,
    "box": _box,
    "polygon": _polygon,
    "mask": _mask,
    "words": _words,
    "combination": _combination,
}


def _choice(message: pb.Choice, field: str, coordinate: _Coordinate) -> Choice:
    rule = message.WhichOneof("rule")
    if rule == "all":
        return All()
    if rule == "index":
        return Index(message.index)
    if rule == "nearest":
        return Nearest(
            coordinate(message.nearest.x, f"{field}.nearest.x"),
            coordinate(message.nearest.y, f"{field}.nearest.y"),
        )
    return Best()


def _shaping(message: pb.Shaping, field: str) -> Shaping:
    grow = fields.in_range(message.grow, f"{field}.grow", 0, 1024)
    feather = message.feather if fields.is_set(message, "feather") else None
    return Shaping(
        fill_holes=message.fill_holes,
        grow=grow if grow or message.keep_outline else None,
        shrink=fields.in_range(message.shrink, f"{field}.shrink", 0, 1024),
        invert=message.invert,
        feather=None if feather is None else fields.in_range(feather, f"{field}.feather", 0, 256),
    )


def _fraction(value: float, field: str) -> float:
    return fields.in_range(value, field, 0, 1)
