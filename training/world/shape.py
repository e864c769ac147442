"""The seven named outlines, around the origin, for radius 1, y pointing down."""

from __future__ import annotations

import numpy as np


def _around(count: int) -> np.ndarray:
    return np.arange(count) * 2 * np.pi / count - np.pi / 2


def _polar(angles: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(radius, (-1, 1))


def _cross() -> np.ndarray:
    arm = 0.34
    corner = np.array([(-arm, -1), (arm, -1), (arm, -arm), (1, -arm)])
    return np.concatenate([corner[:3] @ np.array([[c, s], [-s, c]]) for c, s in _QUARTERS])


def _heart() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    across = 16 * np.sin(angle) ** 3
    up = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return np.stack([across, -up - 1.5], axis=1) / 15.0


_QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_CIRCLE = _polar(_around(48), 1.0)

# Each outline is one polygon, or two where the second is a hole.
OUTLINES = {
    "circle": (_CIRCLE,),
    "square": (_polar(_around(4) + np.pi / 4, 0.86 * np.sqrt(2)),),
    "triangle": (_polar(_around(3), 1.12),),
    "star": (_polar(_around(10), np.tile([1.12, 0.5], 5)),),
    "ring": (_CIRCLE, _CIRCLE * 0.52),
    "cross": (_cross(),),
    "heart": (_heart(),),
}
SHAPES = tuple(OUTLINES)
ROUND = ("circle", "ring")  # these look the same however they are turned
REACH = 1.25  # no outline leaves this radius
