"""Edits: one scene in five versions, of which any ordered pair is an edit with an instruction.

Here the edited thing stands near the middle, as it does in most crops around a region; `photo` has others.
Whatever it becomes keeps its place, size and turn. For that to be a question with one answer, the turn must
be visible in every version: things stand within half a radian of upright, and exactly upright where a
version is round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from canvas.box import PixelBox
from training.world.address import Address
from training.world.ground import UNIT, paint_ground
from training.world.hue import COLOURS
from training.world.phrase import instruction
from training.world.scene import DrawnScene, Scene, draw
from training.world.shape import ROUND, SHAPES
from training.world.thing import Thing, a_thing

KINDS = ("recolour", "reshape", "replace", "remove")
VERSIONS = 5  # as it was, other colour, other shape, both, gone
GONE = 4


@dataclass(frozen=True)
class Versions:
    """Five versions of a thing (None: gone) between the same other things, behind it and in front of it."""

    address: Address
    others: tuple[Thing, ...]
    things: tuple[Thing | None, ...]
    front: tuple[Thing, ...] = ()
    height: int = UNIT
    width: int = UNIT

    def scene(self, version: int) -> Scene:
        thing = self.things[version]
        here = () if thing is None else (thing,)
        return Scene(self.address, (*self.others, *here, *self.front), self.height, self.width)

    def within(self, box: PixelBox) -> Versions:
        """What a part of the picture shows of them; on another ground, unless the ground is cut, too."""

        def moved(thing: Thing) -> Thing:
            return replace(thing, x=thing.x - box.left, y=thing.y - box.top)

        return replace(
            self,
            others=tuple(map(moved, self.others)),
            things=tuple(thing and moved(thing) for thing in self.things),
            front=tuple(map(moved, self.front)),
            height=box.height,
            width=box.width,
        )

    def pictures(self) -> list[DrawnScene]:
        """All versions, on one painted ground."""
        ground = paint_ground(self.address, self.height, self.width)
        return [draw(self.scene(version), ground) for version in range(VERSIONS)]


@dataclass(frozen=True)
class SceneEdit:
    """From one version to another, and the words for it."""

    kind: str
    source: int
    target: int
    instruction: str


def some_versions(address: Address) -> Versions:
    rng = address.rng("versions")
    middle = UNIT / 2 + rng.uniform(-12, 12, 2)
    thing = a_thing(rng, x=middle[0], y=middle[1], radius=rng.uniform(22, 46), turn=rng.uniform(-0.5, 0.5))
    others = tuple(other for other in _around(rng, thing) if other.shape != thing.shape)
    return versions_of(rng, address, thing, others)


def versions_of(
    rng: np.random.Generator,
    address: Address,
    thing: Thing,
    others: tuple[Thing, ...],
    front: tuple[Thing, ...] = (),
    *,
    height: int = UNIT,
    width: int = UNIT,
) -> Versions:
    """The versions of a thing, in a colour and a shape by chance; no other thing has the new shape."""
    seen = {thing.shape, *(other.shape for other in (*others, *front))}
    colour = rng.choice([name for name in COLOURS if name != thing.colour])
    shape = rng.choice([name for name in SHAPES if name not in seen])
    if thing.shape in ROUND or shape in ROUND:
        thing = replace(thing, turn=0.0)
    other_colour, other_shape = {"colour": str(colour)}, {"shape": str(shape)}
    versions = (
        thing,
        replace(thing, **other_colour),
        replace(thing, **other_shape),
        replace(thing, **other_colour, **other_shape),
        None,
    )
    return Versions(address, others, versions, front, height, width)


def turned(thing: Thing | None) -> bool:
    """Whether a thing is turned so far that nobody can say how another shape in its place would be."""
    return thing is not None and thing.turn > 0.5


def an_edit(rng: np.random.Generator, things: tuple[Thing | None, ...], kind: str | None = None) -> SceneEdit:
    """An edit among the versions of a thing; of a kind by chance, recolouring most often."""
    kind = kind or KINDS[rng.choice(len(KINDS), p=(0.3, 0.27, 0.25, 0.18))]
    if turned(things[0]) and kind in ("reshape", "replace"):
        kind = "recolour" if kind == "reshape" else "remove"
    source = int(rng.integers(GONE))
    # Bit 0 of a version is its colour, bit 1 its shape.
    target = {"recolour": source ^ 1, "reshape": source ^ 2, "replace": source ^ 3, "remove": GONE}[kind]
    return SceneEdit(kind, source, target, instruction(rng, things[source], things[target]))


def _around(rng: np.random.Generator, thing: Thing) -> list[Thing]:
    """Up to two things beside the one in the middle, behind it where they touch."""
    others = []
    for _ in range(rng.integers(0, 3)):
        radius, angle = rng.uniform(12, 30), rng.uniform(0, 2 * np.pi)
        distance = (thing.radius + radius) * rng.uniform(0.95, 1.3)
        place = {"x": thing.x + distance * np.cos(angle), "y": thing.y + distance * np.sin(angle)}
        others.append(a_thing(rng, radius=radius, **place))
    return others
