"""The eight named colours, as hues in degrees, and the way between hues and RGB."""

from __future__ import annotations

import colorsys

import numpy as np

HUES = {
    "red": 0.0,
    "orange": 28.0,
    "yellow": 54.0,
    "green": 120.0,
    "cyan": 182.0,
    "blue": 226.0,
    "purple": 274.0,
    "pink": 328.0,
}
COLOURS = tuple(HUES)


def rgb(hue: float, saturation: float, brightness: float) -> np.ndarray:
    """Hue in degrees, the others in [0, 1]; gives float32 (3,) in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb(hue / 360.0 % 1.0, saturation, brightness), np.float32)


def hue_of(colour: np.ndarray) -> tuple[float, float]:
    """The hue in degrees and the saturation of one RGB colour in [0, 1]."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(float(channel) for channel in colour))
    return hue * 360.0, saturation


def apart(one: float | np.ndarray, other: float | np.ndarray) -> float | np.ndarray:
    """The distance of two hues in degrees, in [0, 180]."""
    return np.abs((one - other + 180.0) % 360.0 - 180.0)


def nearest(hue: float) -> str:
    """The named colour closest to a hue."""
    return min(COLOURS, key=lambda name: apart(hue, HUES[name]))
