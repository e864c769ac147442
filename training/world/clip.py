"""Clips: things that move. Some hide behind another thing, some leave the picture and return.

Three plots: `drift`, everything moves a little; `hide`, something larger passes in front of the hero;
`leave`, the hero goes out of the picture and comes back. The hero is thing 0 of its clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.world.address import Address
from training.world.ground import UNIT, paint_ground
from training.world.scene import Scene, a_scene, draw
from training.world.thing import Thing, a_thing

PLOTS = ("drift", "hide", "leave")
SPEED = 4.0  # pixels a frame, along each axis, at most; a hero in a hurry to leave may be faster
SPIN = 0.12  # radians a frame, at most


@dataclass(frozen=True)
class ClipScript:
    """Things and where they are: `course[thing, frame]` is (x, y, turn). Later things are in front."""

    address: Address
    plot: str
    things: tuple[Thing, ...]
    course: np.ndarray

    @property
    def frames(self) -> int:
        return self.course.shape[1]

    def scene(self, frame: int) -> Scene:
        placed = [
            replace(thing, x=float(x), y=float(y), turn=float(turn))
            for thing, (x, y, turn) in zip(self.things, self.course[:, frame], strict=True)
        ]
        return Scene(self.address, tuple(placed))


@dataclass(frozen=True)
class Film:
    """Pixels uint8 (frames, height, width, 3), and what is visible, bool (frames, things, height, width)."""

    pixels: np.ndarray
    masks: np.ndarray


def a_clip(address: Address, *, frames: int = 8, plot: str = "drift") -> ClipScript:
    """A clip by chance, of two to four things (and the one passing in front, when something hides)."""
    rng = address.rng("clip")
    things = list(a_scene(address, fewest=2, most=4).things)
    if plot == "drift":
        return _clip(address, plot, things, [_drift(rng, thing, frames) for thing in things])
    # A hero of middle size, seen whole in the first frame: nothing may cover it before the plot does.
    hero = replace(things[0], radius=rng.uniform(12, 20), x=rng.uniform(34, 94), y=rng.uniform(34, 94))
    others = [
        thing for thing in things[1:] if np.hypot(thing.x - hero.x, thing.y - hero.y) > 30 + thing.radius
    ]
    courses = [_drift(rng, thing, frames, speed=1.0) for thing in others]
    if plot == "leave":
        return _clip(address, plot, [hero, *others], [_excursion(rng, hero, frames), *courses])
    path = _drift(rng, hero, frames, speed=1.0)
    curtain = a_thing(rng, shape=str(rng.choice(["circle", "square"])), radius=hero.radius * 1.5 + 4)
    passing = _passing(rng, path, frames)
    return _clip(address, plot, [hero, *others, curtain], [path, *courses, passing])


def film(clip: ClipScript, frames: Sequence[int] | None = None) -> Film:
    """Draw the frames of a clip, or only those asked for, in the order asked for."""
    ground = paint_ground(clip.address)
    pictures = [
        draw(clip.scene(frame), ground) for frame in (range(clip.frames) if frames is None else frames)
    ]
    pixels = np.stack([picture.pixels for picture in pictures])
    return Film(pixels, np.stack([picture.masks > 0.5 for picture in pictures]))


def _clip(address: Address, plot: str, things: list[Thing], courses: list[np.ndarray]) -> ClipScript:
    return ClipScript(address, plot, tuple(things), np.stack(courses))


def _drift(rng: np.random.Generator, thing: Thing, frames: int, speed: float = SPEED) -> np.ndarray:
    """A straight path (frames, 3) whose centre stays 14 pixels inside the picture."""
    start = np.array([thing.x, thing.y])
    end = np.clip(start + rng.uniform(-speed, speed, 2) * (frames - 1), 14, UNIT - 14)
    return _along(start, end, np.linspace(0, 1, frames), _turning(rng, thing, frames))


def _excursion(rng: np.random.Generator, hero: Thing, frames: int) -> np.ndarray:
    """Out over the nearest side, some frames unseen, back to about where it was."""
    start = np.array([hero.x, hero.y])
    distance = np.array([hero.x, UNIT - hero.x, hero.y, UNIT - hero.y])
    side = int(distance.argmin())
    outward = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)][side])
    beyond = start + outward * (distance[side] + hero.radius * 1.3)
    leaves, gone, returns = rng.integers(4, 7), rng.integers(3, 6), rng.integers(4, 7)
    begins = rng.integers(2, max(3, frames - leaves - gone - returns))
    knots = np.cumsum([begins, leaves, gone, returns])
    away = np.interp(np.arange(frames), knots, [0.0, 1.0, 1.0, 0.0])
    return _along(start, beyond, away, _turning(rng, hero, frames))


def _passing(rng: np.random.Generator, path: np.ndarray, frames: int) -> np.ndarray:
    """A path that meets another in the middle of the clip, coming from far and going far."""
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(4.5, 7)
    meeting = rng.integers(frames * 3 // 8, frames * 5 // 8 + 1)
    offset = (np.arange(frames) - meeting)[:, None] * speed * np.array([np.cos(angle), np.sin(angle)])
    return np.concatenate([path[:, :2] + offset, np.full((frames, 1), rng.uniform(-0.5, 0.5))], axis=1)


def _along(start: np.ndarray, end: np.ndarray, part: np.ndarray, turning: np.ndarray) -> np.ndarray:
    return np.concatenate([start + part[:, None] * (end - start), turning[:, None]], axis=1)


def _turning(rng: np.random.Generator, thing: Thing, frames: int) -> np.ndarray:
    return thing.turn + rng.uniform(-SPIN, SPIN) * np.arange(frames)
