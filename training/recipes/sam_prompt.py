"""Prompts for training and measuring SAM: clicks, boxes, corrections. Everything in picture pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

POSITIVE, NEGATIVE, TOP_LEFT, BOTTOM_RIGHT = 1, 0, 2, 3


@dataclass(frozen=True)
class Prompts:
    """Points (n, k, 2) as (x, y) with pixel centres at .5, and their labels (n, k)."""

    points: np.ndarray
    labels: np.ndarray

    def inputs(self, scale: float) -> dict[str, Tensor]:
        """The inputs of SAM 2: points in pixels of its own image size."""
        return {
            "point_coords": torch.from_numpy(self.points.astype(np.float32) * np.float32(scale)),
            "point_labels": torch.from_numpy(self.labels.astype(np.int32)),
        }


def deepest_point(mask: np.ndarray) -> np.ndarray:
    """The point furthest inside a mask (height, width)."""
    depth = _depth(mask)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([column + 0.5, row + 0.5])


def random_point(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A random point of a mask, a pixel or more away from its border where the mask is thick enough."""
    depth = _depth(mask)
    rows, columns = np.nonzero(depth > min(1.5, depth.max() * 0.5))
    chosen = rng.integers(len(rows))
    return np.array([columns[chosen] + 0.5, rows[chosen] + 0.5])


def clicks(masks: list[np.ndarray], rng: np.random.Generator | None = None) -> Prompts:
    """One click on each mask: at a random point, or at the deepest one without `rng`."""
    points = [deepest_point(mask) if rng is None else random_point(rng, mask) for mask in masks]
    return Prompts(np.stack(points)[:, None], np.full((len(masks), 1), POSITIVE))


def boxes(masks: list[np.ndarray], rng: np.random.Generator | None = None, shake: float = 0.0) -> Prompts:
    """The tight box of each mask as two labelled corners; each side shaken by up to `shake` pixels."""
    corners = np.array([_box(mask) for mask in masks], np.float64)
    if rng is not None:
        corners += rng.uniform(-shake, shake, corners.shape)
    labels = np.tile([TOP_LEFT, BOTTOM_RIGHT], (len(masks), 1))
    return Prompts(corners.reshape(-1, 2, 2), labels)


def multiple_clicks(masks: list[np.ndarray], rng: np.random.Generator) -> Prompts:
    """Two clicks on each mask and one outside it."""
    points = [[random_point(rng, mask), random_point(rng, mask), outside_point(rng, mask)] for mask in masks]
    return Prompts(np.array(points), np.tile([POSITIVE, POSITIVE, NEGATIVE], (len(masks), 1)))


def outside_point(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A point outside a mask, more likely near it than far."""
    rows, columns = np.nonzero(~mask)
    inside = np.argwhere(mask).mean(0)
    distance = np.hypot(rows - inside[0], columns - inside[1]) + rng.uniform(0, 30, len(rows))
    chosen = distance.argmin()
    return np.array([columns[chosen] + 0.5, rows[chosen] + 0.5])


def with_correction(first: Prompts, answers: np.ndarray, masks: list[np.ndarray]) -> Prompts:
    """The prompts with one more click each, in the middle of the larger error: missing or excess pixels."""
    points, labels = [], []
    for answer, mask in zip(answers, masks, strict=True):
        missed, excess = mask & ~answer, answer & ~mask
        label = POSITIVE if missed.sum() >= excess.sum() else NEGATIVE
        wrong = missed if label == POSITIVE else excess
        points.append(deepest_point(wrong if wrong.any() else mask))
        labels.append(label if wrong.any() else POSITIVE)
    return Prompts(
        np.concatenate([first.points, np.stack(points)[:, None]], axis=1),
        np.concatenate([first.labels, np.array(labels)[:, None]], axis=1),
    )


def _depth(mask: np.ndarray) -> np.ndarray:
    """The depth of each pixel inside the mask, in pixels. Beyond the picture counts as outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
