"""A `sam` of numpy: discs, boxes that have a name, and colours that are followed through clips."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc
import numpy as np

from orchestrator.triton.tensors import Tensors, from_text, text
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.weights import check_weights


class Sam:
    """Finds a disc round the first click, and a larger one; or an ellipse in a box; or what it knows by name.

    Corrections add a disc of 10 pixels round every click on the thing, and take one away beside it. In clips
    it follows a colour: the mean of what it was last shown.
    """

    def __init__(self) -> None:
        self.knows_words, self.weights = False, "5a" * 32
        self.radius = 1 / 6  # of the disc round a click, as a share of the shorter side
        self.things: dict[str, list[tuple[tuple[int, int, int, int], float]]] = {}  # boxes and their scores
        self.stability = np.array([0.95, 0.9], np.float32)  # of what a click or a box finds
        self.asked: list[Tensors] = []
        self.refuses = ""  # a phrase
        self.known: dict[bytes, np.ndarray] = {}
        self.pictures_received = 0
        self.size, self.clips = 64, 4
        self.lookahead = 2
        # Frames that were sent ahead, by clip and number.
        self.ahead: dict[tuple[bytes, int], np.ndarray] = {}
        self.most_ahead = 0  # at any time
        self.drops: list[int] = []  # frames that were sent ahead and are not there when they are asked for
        self.followed: dict[bytes, tuple[int, np.ndarray]] = {}  # first frame and colour, by clip
        self.frames: list[tuple[int, bool, tuple[int, ...]]] = []  # number, whether shown, and size
        self.forgets_at: list[int] = []  # frames before which all clips are forgotten, once each
        self.reached: dict[int, asyncio.Event] = {}  # set when a frame is asked about
        self.hold_at: int | None = None  # a frame that is not answered before `go_on`
        self.go_on = asyncio.Event()

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            self._asked(inputs)
            ahead, capacity = {"lookahead": self.lookahead}, {"clips": self.clips}
            facts = {"weights": self.weights, "words": self.knows_words, "size": self.size, "ahead": ahead}
            yield {"facts": text({**facts, "capacity": capacity})}
            return
        check_weights(inputs, self.weights)
        if "clip" in inputs:
            yield await self._followed(inputs)
            return
        if "picture" in inputs:
            self.pictures_received += 1
            picture = inputs["picture"]
            height, width, _ = picture.shape
            key = hashlib.sha256(f"{height}x{width}:".encode() + picture.tobytes()).digest()
            self.known[key] = picture
        else:
            key = inputs["picture_key"].tobytes()
            if key not in self.known:
                raise Refused("UNKNOWN_PICTURE: send its pixels", grpc.StatusCode.NOT_FOUND)
            height, width, _ = self.known[key].shape
        self.asked.append(inputs)
        y, x = np.mgrid[:height, :width] + 0.5
        if "words" in inputs:
            yield self._named(from_text(inputs["words"]), float(inputs["threshold"][0]), height, width)
            return
        if "mask" in inputs:
            corrected = inputs["mask"].copy()
            for across, down, label in inputs["points"]:
                corrected[np.hypot(x - across, y - down) <= 10] = label
            yield {
                "masks": corrected[np.newaxis],
                "scores": np.array([0.7], np.float32),
                "stability": self.stability[:1],
            }
            return
        if "points" in inputs:
            middle, radius = inputs["points"][0][:2], min(height, width) * self.radius
        else:
            left, top, right, bottom = inputs["box"]
            middle, radius = ((left + right) / 2, (top + bottom) / 2), min(right - left, bottom - top) / 2
        away = np.hypot(x - middle[0], y - middle[1])
        masks = np.stack([away <= radius, away <= 1.5 * radius]).astype(np.uint8)
        yield {"masks": masks, "scores": np.array([0.9, 0.6], np.float32), "stability": self.stability}

    def _asked(self, inputs: Tensors) -> None:
        if from_text(inputs["ask"]) == "forget":
            self.followed.pop(inputs["clip"].tobytes(), None)
            for clip, frame in list(self.ahead):
                if clip == inputs["clip"].tobytes():
                    del self.ahead[clip, frame]
        if from_text(inputs["ask"]) == "embed":
            clip, frame = inputs["clip"].tobytes(), int(inputs["frame"][0])
            self.ahead[clip, frame] = inputs["picture"]
            self.most_ahead = max(self.most_ahead, len(self.ahead))

    async def _followed(self, inputs: Tensors) -> Tensors:
        clip, frame = inputs["clip"].tobytes(), int(inputs["frame"][0])
        if frame in self.drops:
            self.drops.remove(frame)
            self.ahead.pop((clip, frame), None)
        picture = inputs["picture"] if "picture" in inputs else self.ahead.pop((clip, frame), None)
        if picture is None:
            raise Refused("UNKNOWN_PICTURE: send its picture", grpc.StatusCode.NOT_FOUND)
        self.frames.append((frame, "mask" in inputs, picture.shape))
        if frame in self.forgets_at:
            self.forgets_at.remove(frame)
            self.followed.clear()
        if frame in self.reached:
            self.reached[frame].set()
        if frame == self.hold_at:
            await self.go_on.wait()
        if "mask" in inputs:
            begun, _ = self.followed.get(clip, (frame, None))
            self.followed[clip] = (begun, picture[inputs["mask"] > 0].mean(axis=0))
        if clip not in self.followed:
            raise Refused("UNKNOWN_CLIP: begin again with a mask", grpc.StatusCode.NOT_FOUND)
        begun, colour = self.followed[clip]
        near = np.abs(picture - colour).max(axis=2) < 60
        logits = np.where(near, np.float32(10), np.float32(-10))
        presence = np.array([0.99 if near.any() else 0.02], np.float32)
        return {"logits": logits, "presence": presence, "begun": np.array([begun], np.int32)}

    def _named(self, phrase: str, threshold: float, height: int, width: int) -> Tensors:
        if phrase == self.refuses:
            raise Refused("INVALID_FIELD: words cannot be read")
        things = self.things.get(phrase, [])
        masks = np.zeros((len(things), height, width), np.uint8)
        for mask, ((left, top, right, bottom), _) in zip(masks, things, strict=True):
            mask[top:bottom, left:right] = 1
        scores = np.array([score for _, score in things], np.float32)
        enough, best = scores >= threshold, scores.max(initial=0.0)
        found = {
            "masks": masks[enough],
            "scores": scores[enough],
            "stability": np.full_like(scores, 0.95)[enough],
        }
        return {**found, "best": np.array([best], np.float32)}
