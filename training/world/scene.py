"""Scenes: a ground and things on it, back to front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.world.address import Address
from training.world.ground import UNIT, paint_ground
from training.world.thing import Thing, a_thing, cover, paint_thing


@dataclass(frozen=True)
class Scene:
    """A scene of things. Its address chooses the background, so no two scenes share one."""

    address: Address
    things: tuple[Thing, ...]
    height: int = UNIT
    width: int = UNIT


@dataclass(frozen=True)
class DrawnScene:
    """Pixels uint8 (height, width, 3), and what is visible of each thing, float32 (things, height, width)."""

    pixels: np.ndarray
    masks: np.ndarray


def a_scene(
    address: Address,
    *,
    fewest: int = 1,
    most: int = 4,
    height: int = UNIT,
    width: int = UNIT,
    radii: tuple[float, float] = (10.0, 32.0),
) -> Scene:
    """Things by chance, mostly apart; some overlap. `radii`: the smallest and the largest, in pixels."""
    rng = address.rng("things")
    things: list[Thing] = []
    for _ in range(rng.integers(fewest, most + 1)):
        for _ in range(12):
            where = {"x": rng.uniform(14, width - 14), "y": rng.uniform(14, height - 14)}
            thing = a_thing(rng, radius=rng.uniform(*radii), **where)
            if all(_gap(thing, other) > 0.75 for other in things):
                break
        things.append(thing)
    return Scene(address, tuple(things), height, width)


def draw(scene: Scene, ground: np.ndarray | None = None) -> DrawnScene:
    """The picture of a scene. Hand in its painted ground to draw several scenes on one."""
    ground = paint_ground(scene.address, scene.height, scene.width) if ground is None else ground
    canvas, masks = ground.copy(), np.zeros((len(scene.things), scene.height, scene.width), np.float32)
    for place, thing in enumerate(scene.things):
        patch = cover(thing, scene.height, scene.width)
        paint_thing(canvas, thing, patch)
        masks[:place, patch.rows, patch.columns] *= 1 - patch.coverage
        masks[place, patch.rows, patch.columns] = patch.coverage
    return DrawnScene((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8), masks)


def _gap(one: Thing, other: Thing) -> float:
    """Distance of two things in units of their radii together; below 1 they may touch."""
    return float(np.hypot(one.x - other.x, one.y - other.y) / (one.radius + other.radius))
