"""The interface of text heads, which find things by a phrase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from services.sam.mask import masks_from_maps, stability
from services.sam.picture_ref import PictureRef
from services.sam.sam2 import Candidates

MOST_BYTES = 1024**3  # of the masks in one response


@dataclass(frozen=True)
class Instances:
    """All things in a picture that a phrase may name, with any score.

    `scores` (count) are in [0, 1]; `maps` (count, h, w) are above `level` inside each thing, and the mask is
    stable if it is about as large between the levels of `margin`.
    """

    height: int
    width: int
    scores: Tensor
    maps: Tensor
    level: float
    margin: tuple[float, float] = (-1.0, 1.0)

    @property
    def best(self) -> float:
        """The highest score; 0 where there is none."""
        return float(self.scores.max()) if len(self.scores) else 0.0

    def above(self, threshold: float) -> Candidates:
        """The things that score higher than a threshold: all, or as many of the best as one response can
        hold."""
        scores, order = self.scores.sort(descending=True, stable=True)
        count = min(int((scores > threshold).sum()), MOST_BYTES // (self.height * self.width))
        maps = self.maps[order[:count]]
        masks = masks_from_maps(maps, self.height, self.width, level=self.level)
        return Candidates(masks, scores[:count].float().cpu(), stability(maps, *self.margin))


class TextHead(Protocol):
    """Finds what a phrase names; the features of a picture are cached for further phrases."""

    size: int

    def find(self, picture: PictureRef, phrase: str) -> Instances:
        """Everything that the phrase may name, each thing once."""
