"""Edits: one scene in five versions, of which any ordered pair is an edit with an instruction.

The edited thing stands near the middle, as it does in a crop around a region. Whatever it becomes keeps
its place, size and turn. For that to be a question with one answer, the turn must be visible in every
version: things stand within half a radian of upright, and exactly upright where a version is round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

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
    """Five versions of the thing in the middle (None: gone), in front of the same other things."""

    address: Address
    others: tuple[Thing, ...]
    things: tuple[Thing | None, ...]

    def scene(self, version: int) -> Scene:
        thing = self.things[version]
        return Scene(self.address, self.others if thing is None else (*self.others, thing))

    def pictures(self) -> list[DrawnScene]:
        """All versions, on one painted ground."""
        ground = paint_ground(self.address)
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
    seen = {thing.shape, *(other.shape for other in others)}
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
    return Versions(address, others, versions)


def an_edit(rng: np.random.Generator, things: tuple[Thing | None, ...], kind: str | None = None) -> SceneEdit:
    """An edit among the versions of a thing; of a kind by chance, recolouring most often."""
    kind = kind or KINDS[rng.choice(len(KINDS), p=(0.3, 0.27, 0.25, 0.18))]
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
