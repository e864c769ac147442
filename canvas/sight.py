"""Sights: the mask of a tracked object in one frame of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sight:
    """The mask of an object in a frame, uint8 (height, width) of 0 and 1, perhaps empty; and the model's
    confidence that the object is visible, in [0, 1]."""

    mask: np.ndarray
    presence: float
