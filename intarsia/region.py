"""Regions: how to say where.

    click(120, 80)
    clicks((120, 80), (130, 95), outside=[(40, 40)]).grown(4).feathered(8)
    box(10, 10, 90, 60).choosing("all")
    mask("sky.png", inside="white").inverted()
    words("dress", not_words=["yellow dress"]).corrected(on=[(120, 80)])
    (words("dress") | words("hat")) - box(10, 10, 90, 60) & mask("left.png", inside="white")

A `Region` never changes; every method returns a new one. Coordinates are pixels of the upright picture
(right and bottom edges exclusive) unless `.relative()` makes them fractions of its width and height.
Python evaluates `-` before `&`, and that before `|`; regions are combined from left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

from intarsia import errors, pixels
from intarsia.artifacts import Source, is_name
from intarsia.pixels import Array, PilImage
from intarsia.v1 import region_pb2 as v1

if TYPE_CHECKING:
    from intarsia.files import AsyncResultFile, ResultFile
    from intarsia.results import ArtifactInfo

Point = tuple[float, float]
Where: TypeAlias = "Region | v1.Region | Point | tuple[float, float, float, float] | Array"
Path = tuple[int, ...]  # which term of a combination, which term of that one, ...; empty for the whole

POLARITIES = {
    name.removeprefix("POLARITY_").removesuffix("_INSIDE").lower(): value
    for name, value in v1.Polarity.items()
    if value
}


@dataclass(frozen=True)
class Region:
    """A region: the part of a picture that an edit may change."""

    proto: v1.Region
    """The message, but for masks that are still to be uploaded."""
    masks: Mapping[Path, Source] = field(default_factory=dict)
    """Mask pictures to upload, by their place in the message; `naming` fills in their names."""

    def __or__(self, other: Region) -> Region:
        """The union."""
        return self._with(v1.Term.OPERATION_PLUS, other)

    def __sub__(self, other: Region) -> Region:
        """The difference: this region without the other."""
        return self._with(v1.Term.OPERATION_MINUS, other)

    def __and__(self, other: Region) -> Region:
        """The intersection."""
        return self._with(v1.Term.OPERATION_WITHIN, other)

    def __invert__(self) -> Region:
        return self.inverted()

    def naming(self, names: Mapping[Path, str]) -> v1.Region:
        """The message with the names of the uploaded `masks`."""
        named = v1.Region()
        named.CopyFrom(self.proto)
        for path, name in names.items():
            _part(named, path).mask.artifact = name
        return named

    def relative(self) -> Region:
        """Makes all coordinates so far fractions of the picture's width and height, in [0, 1]."""

        def change(region: v1.Region) -> None:
            for part in _parts(region):
                part.units = v1.UNITS_RELATIVE

        return self._but(change)

    def corrected(self, *, on: Iterable[Point] = (), outside: Iterable[Point] = ()) -> Region:
        """Adds what is `on` these points and removes what is at the points `outside`.

        Always done before the outline is filled, grown, shrunk or inverted.
        """
        return self._but(lambda region: region.corrections.extend(_clicks(on, outside)))

    def choosing(self, which: str | int) -> Region:
        """Among several candidates: `"best"`, `"all"` together, or the n-th by falling score, from 0."""
        if which == "best":
            return self._but(lambda region: region.choice.best.SetInParent())
        if which == "all":
            return self._but(lambda region: region.choice.all.SetInParent())
        if isinstance(which, int) and which >= 0:
            return self._but(lambda region: setattr(region.choice, "index", which))
        raise errors.InvalidRequest(
            f"cannot choose {which!r}; use 'best', 'all' or a number from 0", field="region.choice"
        )

    def nearest(self, x: float, y: float) -> Region:
        """Among several candidates: the one closest to this point."""
        return self._but(lambda region: region.choice.nearest.CopyFrom(v1.Corner(x=x, y=y)))

    def filled(self, holes: int) -> Region:
        """Fills enclosed holes of at most this many pixels."""
        return self._shaped(fill_holes=holes)

    def grown(self, pixels: float) -> Region:
        """Moves the outline outward; `grown(3).grown(2)` by 5 pixels.

        By default edits and fills grow what a model found, and nothing else; `grown(0)` keeps its outline.
        """
        grown = self._moved("grow", pixels, "shrunk")
        return grown if pixels else grown._shaped(keep_outline=True)

    def shrunk(self, pixels: float) -> Region:
        """Moves the outline inward (after growing); `shrunk(3).shrunk(2)` by 5 pixels."""
        return self._moved("shrink", pixels, "grown")

    def inverted(self) -> Region:
        """Everything except the selection."""
        return self._but(lambda region: setattr(region.shaping, "invert", not region.shaping.invert))

    def feathered(self, pixels: float) -> Region:
        """Softens the border over this many pixels, inward. By default over 1 to 8, by the region's size."""
        return self._shaped(feather=pixels)

    def _moved(self, name: str, pixels: float, opposite: str) -> Region:
        if not isinstance(pixels, Real) or not pixels >= 0:
            raise errors.InvalidRequest(
                f"must be a number of pixels from 0, not {pixels!r}; `{opposite}` is the opposite",
                field=f"region.shaping.{name}",
            )
        return self._shaped(**{name: getattr(self.proto.shaping, name) + pixels})

    def _shaped(self, **values: float) -> Region:
        def shape(region: v1.Region) -> None:
            for name, value in values.items():
                put(region.shaping, name, value, f"region.shaping.{name}")

        return self._but(shape)

    def _but(self, change: Callable[[v1.Region], None]) -> Region:
        proto = v1.Region()
        proto.CopyFrom(self.proto)
        change(proto)
        return replace(self, proto=proto)

    def _with(self, operation: v1.Term.Operation, other: Region) -> Region:
        """A combination that begins with this region; an unshaped combination is extended instead."""
        if not isinstance(other, Region):
            return NotImplemented
        if self.proto == v1.Region(combination=self.proto.combination):
            whole, masks = v1.Region(combination=self.proto.combination), dict(self.masks)
        else:
            first = v1.Term(operation=v1.Term.OPERATION_PLUS, region=self.proto)
            whole, masks = v1.Region(combination=v1.Combination(terms=[first])), _below(0, self.masks)
        masks |= _below(len(whole.combination.terms), other.masks)
        whole.combination.terms.add(operation=operation, region=other.proto)
        return Region(whole, masks)


def click(x: float, y: float) -> Region:
    """The object at this point."""
    return clicks((x, y))


def clicks(*on: Point, outside: Iterable[Point] = ()) -> Region:
    """The object at all points `on` and at none of the points `outside`."""
    return Region(v1.Region(clicks=v1.Clicks(clicks=_clicks(on, outside))))


def box(left: float, top: float, right: float, bottom: float) -> Region:
    """The object in this box."""
    return Region(v1.Region(box=_box(left, top, right, bottom)))


def rectangle(left: float, top: float, right: float, bottom: float) -> Region:
    """This rectangle itself."""
    return Region(v1.Region(box=_box(left, top, right, bottom, exact=True)))


def polygon(*corners: Point) -> Region:
    """The inside of this outline."""
    return Region(v1.Region(polygon=v1.Polygon(corners=_corners(corners))))


def mask(
    picture: Source | PilImage | Array | ArtifactInfo | ResultFile | AsyncResultFile | None,
    *,
    inside: str,
    threshold: float | None = None,
    fit: bool = False,
) -> Region:
    """The area of a mask picture: a path, bytes, a PIL image, a NumPy array, or an artifact.

    `inside` is the part that is the region: `"white"`, `"black"`, `"opaque"` or `"transparent"`. With a
    `threshold`, in (0, 1], values from it on are inside and lower ones outside. `fit` resizes the mask to the
    size of the picture. None, for a folder of pictures, stands for each picture's own mask.
    """
    if inside not in POLARITIES:
        raise errors.InvalidRequest(
            f"unknown inside={inside!r}; one of: {', '.join(POLARITIES)}", field="region.mask.polarity"
        )
    message = v1.Mask(polarity=POLARITIES[inside], threshold=threshold, fit=fit)
    name = "" if isinstance(picture, bytes) else str(picture)  # bytes as text would be four times as long
    if is_name(name):
        message.artifact = name
    masks: dict[Path, Source] = {}
    if picture is not None and not message.artifact:
        masks[()] = pixels.encoded(picture, "region.mask")
    return Region(v1.Region(mask=message), masks)


def words(
    phrase: str,
    *,
    threshold: float | None = None,
    not_words: str | Iterable[str] = (),
    not_at: Iterable[Point] = (),
) -> Region:
    """The objects of this name; candidates with a score below `threshold` are ignored.

    So are those that are mostly an object named in `not_words`, and those that cover a point of `not_at`.
    """
    names = (not_words,) if isinstance(not_words, str) else tuple(not_words)
    message = v1.Words(phrase=phrase, threshold=threshold, not_phrases=names, not_at=_corners(not_at))
    return Region(v1.Region(words=message))


def as_region(value: Where, name: str = "region") -> Region:
    """The region that a value stands for: a point for `click`, four numbers for `box`, an array for `mask`.

    In an array, the region is white or True. `name` is the argument's name, for the error.
    """
    if isinstance(value, Region):
        return value
    if isinstance(value, v1.Region):
        return Region(value)
    if pixels.is_array(value):
        return mask(value, inside="white")
    if isinstance(value, tuple | list) and all(isinstance(each, Real) for each in value):
        if len(value) == 2:
            return click(*value)
        if len(value) == 4:
            return box(*value)
    raise errors.InvalidRequest(
        f"{name} cannot be {value!r:.80}; use a region such as intarsia.click(120, 80), a point (x, y), "
        "a box (left, top, right, bottom), or a mask as an array",
        field=name,
    )


def put(message: object, name: str, value: object, field: str) -> None:
    """Sets a field of a message; `InvalidRequest` with the field's path if the value does not fit."""
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:
        raise errors.InvalidRequest(f"{field} cannot be {value!r}: {error}", field=field) from None


def _box(left: float, top: float, right: float, bottom: float, *, exact: bool = False) -> v1.Box:
    if not (left < right and top < bottom):
        raise errors.InvalidRequest(
            f"must be left, top, right, bottom, with left < right and top < bottom, not {left}, {top}, "
            f"{right}, {bottom}",
            field="region.box",
        )
    return v1.Box(left=left, top=top, right=right, bottom=bottom, exact=exact)


def _corners(points: Iterable[Point]) -> list[v1.Corner]:
    return [v1.Corner(x=x, y=y) for x, y in points]


def _clicks(on: Iterable[Point], outside: Iterable[Point]) -> list[v1.Click]:
    return [v1.Click(x=x, y=y) for x, y in on] + [v1.Click(x=x, y=y, outside=True) for x, y in outside]


def _parts(region: v1.Region) -> Iterator[v1.Region]:
    """The region, and all regions that it combines."""
    yield region
    for term in region.combination.terms:
        yield from _parts(term.region)


def _part(region: v1.Region, path: Path) -> v1.Region:
    for n in path:
        region = region.combination.terms[n].region
    return region


def _below(term: int, masks: Mapping[Path, Source]) -> dict[Path, Source]:
    """The places of masks once their region is a term of another one."""
    return {(term, *path): source for path, source in masks.items()}
