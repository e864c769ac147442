"""Following a thing through a clip: the model remembers what it has seen of it, and is told which clip it is.

Frames go out no larger than the network sees them: what is beyond that would be thrown away at the other end.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

import cv2
import numpy as np

from canvas.outline import remove_specks
from canvas.sight import Sight
from intarsia.errors import IntarsiaError
from orchestrator.deadline import Deadline
from orchestrator.models.client import Served
from orchestrator.runs.run import Run
from orchestrator.triton.errors import model_reason
from orchestrator.triton.model import Home
from orchestrator.triton.tensors import Tensors, text

# Enough to say goodbye. A model that does not hear it forgets by itself, later.
_GOODBYE_SECONDS = 2.0


class Forgotten(Exception):
    """The model does not remember the clip any more. Whoever follows has to begin again."""


class Following:
    """One thing in one clip. Frames are uint8 (height, width, RGB) and come by rising number."""

    def __init__(self, served: Served, run: Run) -> None:
        self._served, self._run = served, run
        self._clip = secrets.token_bytes(16)
        self._home = Home()  # the memory is in one place, wherever else the model may be served
        self._begun: int | None = None  # the first frame that was shown

    async def shown(self, frame: int, pixels: np.ndarray, mask: np.ndarray) -> None:
        """The model takes note of where the thing is in a frame, float32 (height, width) in [0, 1]. Raises
        `Forgotten`."""
        size = await self._size()
        small, inside = await asyncio.gather(
            asyncio.to_thread(_shrunk, pixels, size), asyncio.to_thread(_inside, mask, size)
        )
        reply = await self._ask({"picture": small, "mask": inside}, frame)
        self._begun = frame if self._begun is None else self._begun
        if int(reply["begun"][0]) != self._begun:
            raise Forgotten  # a mask begins a memory anew where there is none left

    async def found(self, frame: int, pixels: np.ndarray) -> Sight:
        """Where the thing is in a frame. Raises `Forgotten`."""
        small = await asyncio.to_thread(_shrunk, pixels, await self._size())
        reply = await self._ask({"picture": small}, frame)
        mask = await asyncio.to_thread(_drawn, reply["logits"], *pixels.shape[:2])
        return Sight(mask, float(reply["presence"][0]))

    async def __aenter__(self) -> Following:
        return self

    async def __aexit__(self, *_: object) -> None:
        goodbye = {"ask": text("forget"), "clip": self._name()}
        with suppress(IntarsiaError):
            await self._served.infer(goodbye, deadline=Deadline.after(_GOODBYE_SECONDS), home=self._home)

    async def _ask(self, inputs: Tensors, frame: int) -> Tensors:
        asked = {"clip": self._name(), "frame": np.array([frame], np.int32), **inputs}
        try:
            return await self._served.infer(asked, deadline=self._run.deadline, home=self._home)
        except IntarsiaError as error:
            if model_reason(error) == "UNKNOWN_CLIP":
                raise Forgotten from None
            raise

    async def _size(self) -> int:
        size: int = (await self._served.facts())["size"]
        return size

    def _name(self) -> np.ndarray:
        return np.frombuffer(self._clip, np.uint8)


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
