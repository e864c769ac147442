"""Regions, as one says them.

    click(120, 80)
    clicks((120, 80), (130, 95), beside=[(40, 40)]).grown(4).feathered(8)
    box(10, 10, 90, 60).choosing("all")
    mask("sky.png", inside="white").inverted()

A `Region` never changes; every word returns a new one. Coordinates are pixels of the upright picture
(right and bottom edges exclusive) unless `.relative()` makes them fractions of its width and height.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from intarsia import errors
from intarsia.artifacts import Source, is_name
from intarsia.v1 import region_pb2 as v1

Point = tuple[float, float]

POLARITIES = {
    name.removeprefix("POLARITY_").removesuffix("_INSIDE").lower(): value
    for name, value in v1.Polarity.items()
    if value
}


@dataclass(frozen=True)
class Region:
    """Where an edit may happen."""

    proto: v1.Region
    """As it is sent, but for a mask that is still to be uploaded."""
    mask: Source | None = None
    """A mask picture of this machine; its artifact's name is filled in once it is uploaded."""

    def relative(self) -> Region:
        """Coordinates are fractions of the picture's width and height, in [0, 1]."""
        return self._but(lambda region: setattr(region, "units", v1.UNITS_RELATIVE))

    def choosing(self, which: str | int) -> Region:
        """Among several candidates: `"best"`, `"all"` together, or the n-th by falling score, from 0."""
        if which == "best":
            return self._but(lambda region: region.choice.best.SetInParent())
        if which == "all":
            return self._but(lambda region: region.choice.all.SetInParent())
        if isinstance(which, int) and which >= 0:
            return self._but(lambda region: setattr(region.choice, "index", which))
        raise errors.InvalidRequest(
            f"cannot choose {which!r}; say 'best', 'all' or a number from 0", field="region.choice"
        )

    def nearest(self, x: float, y: float) -> Region:
        """Among several candidates: the one closest to this point."""
        return self._but(lambda region: region.choice.nearest.CopyFrom(v1.Corner(x=x, y=y)))

    def filled(self, holes: int) -> Region:
        """Fills enclosed holes of at most this many pixels."""
        return self._shaped(fill_holes=holes)

    def grown(self, pixels: float) -> Region:
        """Moves the outline outward."""
        return self._shaped(grow=pixels)

    def shrunk(self, pixels: float) -> Region:
        """Moves the outline inward (after growing)."""
        return self._shaped(shrink=pixels)

    def inverted(self) -> Region:
        """Everything but the selection."""
        return self._but(lambda region: setattr(region.shaping, "invert", not region.shaping.invert))

    def feathered(self, pixels: float) -> Region:
        """Softens the border over this many pixels, inward."""
        return self._shaped(feather=pixels)

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


def click(x: float, y: float) -> Region:
    """The thing at this point."""
    return clicks((x, y))


def clicks(*on: Point, beside: Iterable[Point] = ()) -> Region:
    """The thing at all points `on` and at none of the points `beside`."""
    marks = [v1.Click(x=x, y=y) for x, y in on] + [v1.Click(x=x, y=y, outside=True) for x, y in beside]
    return Region(v1.Region(clicks=v1.Clicks(clicks=marks)))


def box(left: float, top: float, right: float, bottom: float) -> Region:
    """The thing inside this box."""
    return Region(v1.Region(box=v1.Box(left=left, top=top, right=right, bottom=bottom)))


def rectangle(left: float, top: float, right: float, bottom: float) -> Region:
    """This rectangle itself."""
    return Region(v1.Region(box=v1.Box(left=left, top=top, right=right, bottom=bottom, exact=True)))


def polygon(*corners: Point) -> Region:
    """The inside of this outline."""
    return Region(v1.Region(polygon=v1.Polygon(corners=[v1.Corner(x=x, y=y) for x, y in corners])))


def mask(picture: Source, *, inside: str) -> Region:
    """What a mask picture says: a file, its bytes, or an artifact's name.

    `inside` is what belongs to the region: `"white"`, `"black"`, `"opaque"` or `"transparent"`.
    """
    if inside not in POLARITIES:
        raise errors.InvalidRequest(
            f"inside={inside!r} is no polarity; one of: {', '.join(POLARITIES)}", field="region.mask.polarity"
        )
    if is_name(picture):
        return Region(v1.Region(mask=v1.Mask(artifact=str(picture), polarity=POLARITIES[inside])))
    return Region(v1.Region(mask=v1.Mask(polarity=POLARITIES[inside])), mask=picture)


def words(phrase: str, *, threshold: float | None = None) -> Region:
    """The thing of this name; candidates scored below `threshold` are dropped."""
    return Region(v1.Region(words=v1.Words(phrase=phrase, threshold=threshold)))


def put(message: object, name: str, value: object, field: str) -> None:
    """Sets a field of a message; what cannot be sent at all is refused by the field's path."""
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:
        raise errors.InvalidRequest(f"{field} cannot be {value!r}: {error}", field=field) from None
