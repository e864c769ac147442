"""Frames of clips that were sent before they are tracked, so that they are embedded meanwhile."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

from services.refusal import Refusal
from services.sam.image_encoder import ImageEncoder, PictureFeatures

MOST = 48  # frames of all clips; full-size SAM 2 takes 10 MB for one on a GPU
IDLE = 60.0  # seconds after which a frame that was not asked for is dropped


class FramesAhead:
    """Embeds frames ahead. A frame is embedded at once unless the encoder is busy; those that arrive
    meanwhile wait, and are embedded in one pass if that pays. If there are too many, new ones are not taken:
    to drop others would waste the work on them."""

    def __init__(
        self, encoder: ImageEncoder, *, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._encoder, self._most, self._clock = encoder, most, clock
        self._frames: OrderedDict[tuple[bytes, int], _Frame] = OrderedDict()  # the oldest first

    def add(self, clip: bytes, number: int, picture: Tensor) -> None:
        """Take a frame of a clip, uint8 (height, width, 3), to be tracked soon."""
        self._drop_idle()
        self._frames.pop((clip, number), None)
        if len(self._frames) < self._most:
            self._frames[clip, number] = _Frame(picture, self._clock())
        self._begin_if_idle()

    def take(self, clip: bytes, number: int) -> PictureFeatures:
        """The features of a frame. It is then dropped, like earlier ones of the clip; raises Refusal if it is
        not here."""
        frame = self._frames.pop((clip, number), None)
        self._drop(clip, before=number)
        if frame is None:
            raise Refusal("UNKNOWN_PICTURE", f"frame {number} was not sent ahead; send its picture")
        if frame.features is None:
            self._begin([frame])
        self._begin_if_idle()
        assert frame.features is not None
        return frame.features()

    def discard(self, clip: bytes) -> None:
        """Drop all frames of a clip."""
        self._drop(clip)

    def facts(self) -> dict[str, Any]:
        """How many frames of a clip should be sent ahead, how many are here, and how many of them may share a
        pass."""
        self._drop_idle()
        return {
            "lookahead": self._encoder.lookahead,
            "count": len(self._frames),
            "most": self._most,
            "rows": self._encoder.rows(self._most),
        }

    def _begin_if_idle(self) -> None:
        if not self._encoder.busy and any(frame.features is None for frame in self._frames.values()):
            self._begin([])

    def _begin(self, first: list[_Frame]) -> None:
        """Begin to embed these frames and others that wait."""
        waiting = first + [frame for frame in self._frames.values() if frame.features is None]
        batch = waiting[: self._encoder.rows(len(waiting))]
        begun = self._encoder.begin([frame.picture for frame in batch])
        for frame, features in zip(batch, begun, strict=True):
            frame.features = features

    def _drop(self, clip: bytes, *, before: int | None = None) -> None:
        for other, number in list(self._frames):
            if other == clip and (before is None or number < before):
                del self._frames[other, number]

    def _drop_idle(self) -> None:
        while self._frames and next(iter(self._frames.values())).arrived <= self._clock() - IDLE:
            self._frames.popitem(last=False)


class _Frame:
    """A frame, and when it arrived; `features` gives what was begun for it, None while it waits."""

    def __init__(self, picture: Tensor, arrived: float) -> None:
        self.picture, self.arrived = picture, arrived
        self.features: Callable[[], PictureFeatures] | None = None


class FrameRef:
    """A frame that was sent ahead, in the form of a `PictureRef`."""

    def __init__(self, frames: FramesAhead, clip: bytes, number: int) -> None:
        self._take = lambda: frames.take(clip, number)
        self._features: PictureFeatures | None = None

    def size(self, network: object) -> tuple[int, int]:
        """Height and width."""
        features = self.features_of(network)
        return features.height, features.width

    def features_of(self, network: object) -> PictureFeatures:
        """The features; raises Refusal if the frame is not here."""
        if self._features is None:
            self._features = self._take()
        return self._features
