"""Holes: parts of a picture that are to be filled. Bool (height, width), true where pixels are missing."""

from __future__ import annotations

import cv2
import numpy as np

from training.world.ground import UNIT

MARGIN = 3  # pixels a hole reaches beyond the thing it hides


def around(coverage: np.ndarray) -> np.ndarray:
    """A hole in the form of a thing, a little larger; `coverage` is its mask in [0, 1]."""
    size = 2 * MARGIN + 1
    return cv2.dilate((coverage > 0.3).astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def roomy(rng: np.random.Generator, coverage: np.ndarray) -> np.ndarray:
    """A box or an ellipse that holds a whole thing and does not tell its form."""
    rows, columns = np.flatnonzero((coverage > 0.3).any(1)), np.flatnonzero((coverage > 0.3).any(0))
    middle = ((columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2)
    reach = max(columns[-1] - columns[0], rows[-1] - rows[0]) / 2 + MARGIN + rng.uniform(0, 4)
    if rng.random() < 0.5:
        return _box(coverage.shape, middle, (reach, reach))
    return _ellipse(coverage.shape, middle, (reach * 1.2, reach * 1.2), 0.0)


def a_hole(rng: np.random.Generator, height: int = UNIT, width: int = UNIT) -> np.ndarray:
    """A box, an ellipse or a broad stroke somewhere, a fifth of the picture at most."""
    size = (height, width)
    middle = (rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height)
    kind = rng.integers(3)
    if kind == 0:
        return _box(size, middle, tuple(rng.uniform(12, 30, 2)))
    if kind == 1:
        return _ellipse(size, middle, tuple(rng.uniform(14, 34, 2)), rng.uniform(0, 180))
    hole = np.zeros(size, np.uint8)
    knots = np.array(middle) + np.cumsum(rng.uniform(-28, 28, (4, 2)), axis=0)
    cv2.polylines(hole, [np.round(knots).astype(np.int32)], False, 1, int(rng.integers(10, 22)))
    return hole > 0 if hole.any() else _box(size, middle, (20, 20))


def _box(size: tuple[int, int], middle: tuple[float, float], reach: tuple[float, float]) -> np.ndarray:
    down, across = np.mgrid[0 : size[0], 0 : size[1]]
    return (np.abs(across - middle[0]) <= reach[0]) & (np.abs(down - middle[1]) <= reach[1])


def _ellipse(
    size: tuple[int, int], middle: tuple[float, float], reach: tuple[float, float], turn: float
) -> np.ndarray:
    hole = np.zeros(size, np.uint8)
    centre, axes = (int(middle[0]), int(middle[1])), (int(reach[0]), int(reach[1]))
    cv2.ellipse(hole, centre, axes, turn, 0, 360, 1, -1)
    return hole > 0
