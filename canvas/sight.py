"""Sights: where a thing is in one frame of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sight:
    """Where a thing is in a frame: uint8 (height, width) of 0 and 1, perhaps nowhere; and how sure the model
    is that it can be seen at all, in [0, 1]."""

    mask: np.ndarray
    presence: float
