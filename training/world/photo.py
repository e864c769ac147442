"""Photos: pictures as users have them, and the region of the thing that they ask to be edited.

A photo has any size. Things stand anywhere, near each other or cut by the edge. A region was found by a
model, and is then about as large as its thing, or drawn by hand, and then has room on some sides. A model
sees the crop around the region, cut and scaled as the service does it: things of all sizes become equally
large, off the middle where the picture ends, with neighbours that must stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from canvas.box import PixelBox, full_box
from canvas.crop import WorkingSize, crop_around, working_size
from canvas.layout import Cut
from canvas.mask import bounding_box
from canvas.patch import cut_sheet
from training.world.address import Address
from training.world.edit import VERSIONS, Versions, versions_of
from training.world.ground import UNIT, paint_ground
from training.world.scene import DrawnScene, draw
from training.world.thing import Thing, a_thing, cover

SIDES = (96, 1024)  # pixels, of the shorter and of the longer side
RADII = (8.0, 80.0)
_LARGEST = 0.36  # radius of a thing, as a part of the picture's shorter side
_EDGE = 14  # pixels from the edge within which no thing has its centre


@dataclass(frozen=True)
class Photo:
    """A thing in five versions in a picture of any size, and the box that a user's region has there."""

    versions: Versions
    region: PixelBox

    @cached_property
    def crop(self) -> PixelBox:
        """What the service cuts out for the region."""
        size = self.versions
        inside = np.zeros((size.height, size.width), np.float32)
        inside[self.region.window] = 1
        return crop_around(inside, context=Cut().context)

    @cached_property
    def working(self) -> WorkingSize:
        """The sheet on which a model works at the size it was made for."""
        return working_size(self.crop, smallest=UNIT, largest=UNIT, exact=UNIT)

    def pictures(self) -> list[DrawnScene]:
        """The crop of every version."""
        whole, crop = self.versions, self.crop
        ground = paint_ground(whole.address, whole.height, whole.width)[crop.window]
        shown = whole.within(crop)
        return [draw(shown.scene(version), ground) for version in range(VERSIONS)]

    def sheet(self, picture: DrawnScene) -> np.ndarray:
        """What a model sees of a crop, uint8 (3, height, width)."""
        return cut_sheet(picture.pixels, full_box(picture.pixels), self.working)

    def inside(self, cell: int) -> np.ndarray:
        """The part of the sheet that the region covers, bool (height / cell, width / cell)."""
        crop, working = self.crop, self.working
        scaled = (working.right - working.left) / crop.width
        across = [(x - crop.left) * scaled + working.left for x in (self.region.left, self.region.right)]
        down = [(y - crop.top) * scaled + working.top for y in (self.region.top, self.region.bottom)]
        cells = np.zeros((working.height // cell, working.width // cell), bool)
        cells[_cells(down, cell), _cells(across, cell)] = True
        return cells


def a_photo(
    address: Address,
    *,
    size: tuple[int, int] | None = None,
    radii: tuple[float, float] = RADII,
) -> Photo:
    """A photo by chance; name the size (height, width) that is not left to chance."""
    rng = address.rng("photo")
    height, width = size or _size(rng)
    largest = max(radii[0], min(radii[1], _LARGEST * min(height, width)))
    # All scales are equally frequent.
    radius = float(np.exp(rng.uniform(*np.log((radii[0], largest)))))
    thing = a_thing(rng, **_place(rng, height, width, radius))
    neighbours = _neighbours(rng, thing, (height, width), (radii[0], largest))
    cut = int(rng.integers(len(neighbours) + 1))
    versions = versions_of(
        rng, address, thing, neighbours[:cut], front=neighbours[cut:], height=height, width=width
    )
    return Photo(versions, _region(rng, versions))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    shorter = np.exp(rng.uniform(*np.log(SIDES)))
    sides = int(shorter), int(min(shorter * rng.uniform(1, 1.6), SIDES[1]))
    return sides if rng.random() < 0.3 else sides[::-1]


def _place(rng: np.random.Generator, height: int, width: int, radius: float) -> dict[str, float]:
    """Half of all things are seen whole, the others may be cut by the picture's edge."""
    margin = _EDGE if rng.random() < 0.5 else max(_EDGE, radius)
    x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
    return {"x": x, "y": y, "radius": radius}


def _neighbours(
    rng: np.random.Generator, thing: Thing, size: tuple[int, int], radii: tuple[float, float]
) -> tuple[Thing, ...]:
    """Up to four other things, most of them near, where a crop around the thing shows them or their half."""
    found: list[Thing] = []
    for _ in range(rng.integers(0, 5)):
        for _ in range(8):
            radius = float(np.clip(thing.radius * np.exp(rng.uniform(-0.9, 0.7)), *radii))
            place = _place(rng, *size, radius)
            if rng.random() < 0.7:
                angle, away = rng.uniform(0, 2 * np.pi), (thing.radius + radius) * rng.uniform(0.75, 1.7)
                place["x"] = thing.x + away * np.cos(angle)
                place["y"] = thing.y + away * np.sin(angle)
            other = a_thing(rng, **place)
            near = 1.3 if other.shape == thing.shape else 0.75
            if _gap(other, thing) > near and all(_gap(other, one) > 0.75 for one in found):
                found.append(other)
                break
    return tuple(found)


def _gap(one: Thing, other: Thing) -> float:
    return float(np.hypot(one.x - other.x, one.y - other.y) / (one.radius + other.radius))


def _region(rng: np.random.Generator, versions: Versions) -> PixelBox:
    """The box of what a click or words would find, grown evenly, or of what a hand would draw around it."""
    thing = versions.things[2 * int(rng.integers(2))]
    assert thing is not None
    inside = cover(thing, versions.height, versions.width).spread(versions.height, versions.width)
    seen = bounding_box(np.where(inside > 0.5, inside, np.float32(0)))
    found = rng.random() < 0.7
    room = (
        np.full(4, rng.uniform(0, 3 + 0.15 * thing.radius))
        if found
        else rng.uniform(0, 0.45, 4) * thing.radius
    )
    left, top, right, bottom = (int(side) for side in np.rint(room))
    return PixelBox(
        max(seen.left - left, 0),
        max(seen.top - top, 0),
        min(seen.right + right, versions.width),
        min(seen.bottom + bottom, versions.height),
    )


def _cells(ends: list[float], cell: int) -> slice:
    """The cells that an interval of pixels meets."""
    first, last = ends
    return slice(max(int(first // cell), 0), int(-(-last // cell)))
