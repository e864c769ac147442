"""Grounds: what a scene stands on. Pale enough (saturation <= 0.4) for things to stand out."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from training.world.address import Address
from training.world.hue import rgb

TEXTURES = ("plain", "stripes", "checker", "bands")
UNIT = 128  # pixels that a gradient, a blend and a texture's frequency are measured in


def texture_of(address: Address) -> str:
    """The texture of the ground at an address, without painting it."""
    return TEXTURES[address.rng("texture").integers(len(TEXTURES))]


def paint_ground(address: Address, height: int = UNIT, width: int = UNIT) -> np.ndarray:
    """The ground at an address: float32 (height, width, 3) in [0, 1]."""
    rng = address.rng("ground")
    tones = [rgb(rng.uniform(0, 360), rng.uniform(0, 0.4), rng.uniform(0.3, 0.95)) for _ in range(3)]
    across, down = _grid(height, width)
    slope = rng.uniform(0, 2 * np.pi)
    ramp = np.clip((across - 0.5) * np.cos(slope) + (down - 0.5) * np.sin(slope) + 0.5, 0, 1)
    cells = rng.random(tuple(rng.integers(3, 6, 2))).astype(np.float32)
    blend = 0.45 * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    first, second = ((1 - ramp) * (1 - blend), ramp * (1 - blend))
    light = _texture(texture_of(address), rng, across, down)
    light += 0.008 * rng.standard_normal((height, width), np.float32)
    mixed = np.stack([first, second, blend], axis=-1) @ np.stack(tones) + light[..., None]
    return np.clip(mixed, 0, 1, out=mixed)


def _texture(kind: str, rng: np.random.Generator, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """A fine brightness pattern (height, width) of amplitude 0.03 to 0.09; zero where it is plain."""
    strength, frequency = rng.uniform(0.03, 0.09), rng.uniform(5, 12) * 2 * np.pi
    turn, (shift, other_shift) = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi, 2)
    if kind == "plain":
        return np.zeros_like(across)
    cosine, sine = np.float32(np.cos(turn) * frequency), np.float32(np.sin(turn) * frequency)
    wave = np.sin(across * cosine + down * sine + np.float32(shift))
    if kind == "stripes":
        return np.float32(strength) * wave
    if kind == "checker":
        return (
            np.float32(1.4 * strength)
            * wave
            * np.sin(down * cosine - across * sine + np.float32(other_shift))
        )
    return np.float32(0.8 * strength) * np.tanh(2 * wave)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    down, across = np.mgrid[0:height, 0:width].astype(np.float32) / UNIT
    return across, down
