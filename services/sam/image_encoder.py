"""The image encoder of SAM 2: from pictures to their features, beside the work of the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from services.sam import half_precision
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.stream import Stream, Tensors


@dataclass(frozen=True)
class PictureFeatures:
    """SAM 2's features of a picture or a frame. `details` are the finer feature maps, coarsest last. On a GPU
    they are as the encoder made them, some of them in bfloat16."""

    height: int
    width: int
    coarse: Tensor
    details: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in (self.coarse, *self.details))


class ImageEncoder:
    """Embeds pictures on a stream of its own, several in one pass if that pays."""

    def __init__(self, network: Any, stream: Stream) -> None:
        self._network, self._stream = network, stream
        self._preprocessing = Preprocessing(network.image_size)
        with torch.inference_mode():
            side = network.image_size
            self._passes = stream.passes(self._levels, torch.zeros(1, 3, side, side, device=network.device))

    @property
    def lookahead(self) -> int:
        """The number of frames of a clip that it is worth embedding ahead."""
        return self._stream.lookahead

    @property
    def busy(self) -> bool:
        """True while more pictures would only queue up behind others."""
        return self._stream.busy

    def rows(self, waiting: int) -> int:
        """The number of pictures for the next pass if so many are waiting."""
        return max(rows for rows in self._passes if rows <= max(1, waiting))

    @torch.inference_mode()
    def begin(self, pictures: Sequence[Tensor]) -> list[Callable[[], PictureFeatures]]:
        """Begins to embed pictures, uint8 (height, width, 3), as many as `rows` allows. Returns for each the
        function that gives its features."""
        joins = self._stream.run(lambda: self._embed(pictures))
        return [
            partial(_features, join, picture.shape[0], picture.shape[1])
            for join, picture in zip(joins, pictures, strict=True)
        ]

    def _embed(self, pictures: Sequence[Tensor]) -> list[Tensors]:
        """The levels of each picture."""
        squares = [preprocess(self._stream.upload(picture), self._preprocessing) for picture in pictures]
        levels = self._passes[len(squares)](squares[0] if len(squares) == 1 else torch.cat(squares))
        # Copies, since the next pass may overwrite these, and a row must not hold the memory of all.
        return [tuple(level[row : row + 1].clone() for level in levels) for row in range(len(squares))]

    def _levels(self, squares: Tensor) -> Tensors:
        with half_precision.autocast(squares.device):
            features = self._network.forward_image(squares)
        return tuple(features["backbone_fpn"][-self._network.num_feature_levels :])


def _features(join: Callable[[], Tensors], height: int, width: int) -> PictureFeatures:
    *details, coarse = join()
    return PictureFeatures(height, width, coarse, tuple(details))
