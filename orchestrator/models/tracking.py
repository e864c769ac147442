"""Tracking a thing through a clip: the model keeps a memory of each clip, under a name that we choose.

Frames are sent no larger than the network's input: the model would only shrink them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from canvas.outline import remove_specks
from canvas.sight import Sight
from intarsia.errors import IntarsiaError
from orchestrator.deadline import Deadline
from orchestrator.models.client import ModelClient
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.endpoints import Affinity
from orchestrator.triton.errors import model_reason
from orchestrator.triton.tensors import Tensors, text

# Enough for a request to forget a clip. A model that does not get it forgets the clip later by itself.
_FORGET_SECONDS = 2.0


class ClipForgotten(Exception):
    """The model has lost its memory of the clip. Tracking has to begin again."""


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame that was sent to the model: its number and size, and its pixels as they were sent."""

    number: int
    height: int
    width: int
    small: np.ndarray


@dataclass(frozen=True, eq=False)
class Detection:
    """What the model found in a frame: logits of its own size, above 0 where the object is; its confidence
    that the object is visible; and the size of the frame."""

    logits: np.ndarray
    presence: float
    height: int
    width: int

    async def sight(self) -> Sight:
        """The mask in the frame's size."""
        mask = await asyncio.to_thread(_drawn, self.logits, self.height, self.width)
        return Sight(mask, self.presence)


class TrackingSession:
    """One thing in one clip at one endpoint. Frames are uint8 (height, width, RGB) and come by rising
    number."""

    def __init__(self, client: ModelClient, run: Run, affinity: Affinity, weights: WeightsRef | None) -> None:
        """`affinity`: the endpoint that is preferred. `weights`: those that must do the work, None for
        any."""
        self._client, self._run, self._weights = client, run, weights
        self._clip = secrets.token_bytes(16)
        self._affinity = Affinity(affinity.endpoint, pinned=True)
        self._lease = client.lease(deadline=run.deadline, affinity=self._affinity)
        self._begun: int | None = None  # the first frame that the model was shown

    async def show(self, frame: int, pixels: np.ndarray, mask: np.ndarray) -> None:
        """Sends the model the object's place in a frame: a mask, float32 (height, width) in [0, 1]. Raises
        `ClipForgotten`."""
        size = await self._size()
        small, inside = await asyncio.gather(
            asyncio.to_thread(_shrunk, pixels, size), asyncio.to_thread(_inside, mask, size)
        )
        reply = await self._request({"picture": small, "mask": inside}, frame)
        self._begun = frame if self._begun is None else self._begun
        if int(reply["begun"][0]) != self._begun:
            raise ClipForgotten  # a mask begins a memory anew where there is none left

    async def lookahead(self) -> int:
        """The number of frames that should be prepared before they are located."""
        ahead: int = (await self._facts())["ahead"]["lookahead"]
        return ahead

    async def prepare(self, frame: int, pixels: np.ndarray) -> PreparedFrame:
        """Sends a frame ahead, so that the model works on it while it is asked about earlier ones."""
        small = await asyncio.to_thread(_shrunk, pixels, await self._size())
        inputs = {"ask": text("embed"), "clip": self._name(), "frame": _number(frame), "picture": small}
        await self._infer(inputs, self._run.deadline)
        height, width, _ = pixels.shape
        return PreparedFrame(frame, height, width, small)

    async def locate(self, frame: PreparedFrame) -> Detection:
        """Finds the object in a frame. Raises `ClipForgotten`."""
        try:
            reply = await self._request({}, frame.number)
        except IntarsiaError as error:
            if model_reason(error) != "UNKNOWN_PICTURE":
                raise
            reply = await self._request({"picture": frame.small}, frame.number)
        return Detection(reply["logits"], float(reply["presence"][0]), frame.height, frame.width)

    async def __aenter__(self) -> TrackingSession:
        await self._size()  # leads to an endpoint that has the weights
        await self._lease.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        forget = {"ask": text("forget"), "clip": self._name()}
        try:
            with suppress(IntarsiaError):
                await self._infer(forget, Deadline.after(_FORGET_SECONDS))
        finally:
            await self._lease.__aexit__(*error)

    async def _infer(self, inputs: Tensors, deadline: Deadline) -> Tensors:
        return await self._client.infer(
            inputs, deadline=deadline, affinity=self._affinity, weights=self._weights, work=0.0
        )

    async def _request(self, inputs: Tensors, frame: int) -> Tensors:
        request = {"clip": self._name(), "frame": _number(frame), **inputs}
        try:
            return await self._infer(request, self._run.deadline)
        except IntarsiaError as error:
            if model_reason(error) == "UNKNOWN_CLIP":
                raise ClipForgotten from None
            raise

    async def _facts(self) -> Mapping[str, Any]:
        return await self._client.facts(self._affinity, self._weights)

    async def _size(self) -> int:
        size: int = (await self._facts())["size"]
        return size

    def _name(self) -> np.ndarray:
        return np.frombuffer(self._clip, np.uint8)


def _number(frame: int) -> np.ndarray:
    return np.array([frame], np.int32)


def _shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width, _ = pixels.shape
    if max(height, width) <= size:
        return np.ascontiguousarray(pixels)
    least = (min(width, size), min(height, size))
    return cv2.resize(pixels, least, interpolation=cv2.INTER_AREA)


def _inside(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask of 0 and 1 in the size of the shrunk frame, with a pixel of the thing however thin it is."""
    height, width = mask.shape
    least = (min(width, size), min(height, size))
    small = mask if least == (width, height) else cv2.resize(mask, least, interpolation=cv2.INTER_AREA)
    return (small >= min(0.5, float(small.max()))).view(np.uint8)


def _drawn(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Logits of any size as a mask of the frame's."""
    large = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
    return remove_specks((large > 0).view(np.uint8))
