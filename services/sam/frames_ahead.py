"""Frames of clips that were sent before they are tracked, so that they are embedded meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

from services.refusal import Refusal
from services.sam.image_encoder import ImageEncoder, PictureFeatures

MOST = 24  # frames of all clips; full-size SAM 2 takes 17 MB for one


class FramesAhead:
    """Embeds frames ahead. A frame is embedded at once if nothing else is; those that arrive meanwhile wait,
    and are embedded in one pass if that pays. If there are too many, the oldest are dropped."""

    def __init__(self, encoder: ImageEncoder, *, most: int = MOST) -> None:
        self._encoder, self._most = encoder, most
        self._frames: OrderedDict[tuple[bytes, int], _Frame] = OrderedDict()  # the oldest first

    def add(self, clip: bytes, number: int, picture: Tensor) -> None:
        """Take a frame of a clip, uint8 (height, width, 3), to be tracked soon."""
        self._frames.pop((clip, number), None)
        self._frames[clip, number] = _Frame(picture)
        while len(self._frames) > self._most:
            self._frames.popitem(last=False)
        if not self._encoder.busy:
            self._begin([])

    def take(self, clip: bytes, number: int) -> PictureFeatures:
        """The features of a frame. It is then dropped, like earlier ones of the clip; raises Refusal if it is
        not here."""
        frame = self._frames.pop((clip, number), None)
        self._drop(clip, before=number)
        if frame is None:
            raise Refusal("UNKNOWN_PICTURE", f"frame {number} was not sent ahead; send its picture")
        if frame.features is None:
            self._begin([frame])
        assert frame.features is not None
        return frame.features()

    def discard(self, clip: bytes) -> None:
        """Drop all frames of a clip."""
        self._drop(clip)

    def facts(self) -> dict[str, Any]:
        """How many frames of a clip should be sent ahead, how many are here, and how many of them may share a
        pass."""
        return {
            "lookahead": self._encoder.lookahead,
            "count": len(self._frames),
            "most": self._most,
            "rows": self._encoder.rows(self._most),
        }

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


class _Frame:
    """A frame; `features` gives what was begun for it, None while it waits."""

    def __init__(self, picture: Tensor) -> None:
        self.picture = picture
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
