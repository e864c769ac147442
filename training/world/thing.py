"""Things: one shape somewhere, with its own colour and light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.world.hue import COLOURS, HUES, rgb
from training.world.shape import OUTLINES, REACH, SHAPES

_FINE = 2  # coverage is drawn this many times larger, then averaged
_SUBPIXEL = 4  # binary digits of a pixel given to the polygon filler


@dataclass(frozen=True)
class Thing:
    """A shape at (x, y) pixels, `radius` pixels large, turned clockwise by `turn` radians."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    turn: float
    hue_shift: float  # degrees off the named hue
    saturation: float
    brightness: float
    light: float  # radians: where the shading falls to
    shade: float  # how much darker the far side is, in [0, 1]
    mottle: int  # seed of a faint unevenness

    @property
    def hue(self) -> float:
        """Degrees in [0, 360)."""
        return (HUES[self.colour] + self.hue_shift) % 360

    @property
    def words(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Patch:
    """Computes the coverage of a picture by a thing: its window, and coverage in [0, 1] inside it."""

    rows: slice
    columns: slice
    coverage: np.ndarray

    def spread(self, height: int, width: int) -> np.ndarray:
        """The coverage over the whole picture, float32 (height, width)."""
        whole = np.zeros((height, width), np.float32)
        whole[self.rows, self.columns] = self.coverage
        return whole


def a_thing(rng: np.random.Generator, **fixed) -> Thing:
    """A thing by chance, within a 128 x 128 picture; name the fields that are not left to chance."""
    drawn = {
        "shape": SHAPES[rng.integers(len(SHAPES))],
        "colour": COLOURS[rng.integers(len(COLOURS))],
        "x": rng.uniform(14, 114),
        "y": rng.uniform(14, 114),
        "radius": rng.uniform(10, 32),
        "turn": rng.uniform(-0.5, 0.5) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi),
        "hue_shift": rng.uniform(-6, 6),
        "saturation": rng.uniform(0.72, 0.98),
        "brightness": rng.uniform(0.72, 0.98),
        "light": rng.uniform(0, 2 * np.pi),
        "shade": rng.uniform(0.05, 0.22),
        "mottle": int(rng.integers(1 << 30)),
    }
    return Thing(**{**drawn, **fixed})


def cover(thing: Thing, height: int, width: int) -> Patch:
    """The coverage of a thing in a picture, softened at its border. The window may be empty."""
    reach = thing.radius * REACH + 1
    top, bottom = np.clip([int(thing.y - reach), int(thing.y + reach) + 2], 0, height)
    left, right = np.clip([int(thing.x - reach), int(thing.x + reach) + 2], 0, width)
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    if top == bottom or left == right:
        return Patch(rows, columns, np.zeros((bottom - top, right - left), np.float32))
    cosine, sine = np.cos(thing.turn), np.sin(thing.turn)
    turned = np.array([[cosine, sine], [-sine, cosine]]) * thing.radius
    # +0.5: pixel centres, so that a thing at (x, y) covers evenly around x and y.
    corner = np.array([thing.x - left + 0.5, thing.y - top + 0.5])
    scale = _FINE << _SUBPIXEL
    polygons = [
        np.round((part @ turned + corner) * scale - (1 << _SUBPIXEL) / 2).astype(np.int32)
        for part in OUTLINES[thing.shape]
    ]
    fine = np.zeros(((bottom - top) * _FINE, (right - left) * _FINE), np.uint8)
    cv2.fillPoly(fine, polygons, 255, cv2.LINE_AA, _SUBPIXEL)
    coarse = cv2.resize(fine, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA)
    return Patch(rows, columns, coarse.astype(np.float32) / 255)


def paint_thing(canvas: np.ndarray, thing: Thing, patch: Patch) -> None:
    """Lay a thing over a float32 canvas (height, width, 3) in [0, 1], in place."""
    if patch.coverage.size == 0:
        return
    down = np.arange(patch.rows.start, patch.rows.stop, dtype=np.float32)[:, None] - thing.y
    across = np.arange(patch.columns.start, patch.columns.stop, dtype=np.float32)[None] - thing.x
    lean = (across * np.cos(thing.light) + down * np.sin(thing.light)) / thing.radius
    light = 1 - thing.shade * (0.5 + 0.5 * np.clip(lean, -1.2, 1.2))
    cells = 0.025 * np.random.default_rng(thing.mottle).standard_normal((8, 8), np.float32)
    light = light.astype(np.float32) + cv2.resize(cells, light.shape[::-1], interpolation=cv2.INTER_LINEAR)
    tone = rgb(thing.hue, thing.saturation, thing.brightness)
    below = canvas[patch.rows, patch.columns]
    paint = np.clip(np.clip(light, 0, 1.1)[..., None] * tone, 0, 1)
    below += (paint - below) * patch.coverage[..., None]
