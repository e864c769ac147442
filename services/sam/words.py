"""Finding by words: what every text head promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from services.sam.mask import drawn
from services.sam.picture_ref import Shown
from services.sam.sam2 import Candidates

MOST_BYTES = 1024**3  # of masks in one answer


@dataclass(frozen=True)
class Instances:
    """All that a phrase may name in a picture, sure or not.

    `scores` (count) are in [0, 1]; `maps` (count, h, w) show each where they are above `level`.
    """

    height: int
    width: int
    scores: Tensor
    maps: Tensor
    level: float

    @property
    def best(self) -> float:
        """The highest score; 0 where there is none."""
        return float(self.scores.max()) if len(self.scores) else 0.0

    def above(self, threshold: float) -> Candidates:
        """Those that score higher than a threshold: all, or as many of the best as one answer can hold."""
        scores, order = self.scores.sort(descending=True, stable=True)
        count = min(int((scores > threshold).sum()), MOST_BYTES // (self.height * self.width))
        masks = drawn(self.maps[order[:count]], self.height, self.width, level=self.level)
        return Candidates(masks, scores[:count].float().cpu())


class TextHead(Protocol):
    """Finds what a phrase names. What it knows of a picture is kept for the next phrase."""

    size: int

    def find(self, picture: Shown, phrase: str) -> Instances:
        """Everything the phrase may name, each once."""
