"""Regions of a picture from clicks, a box or words."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from intarsia.canvas.region import Box, Candidate, Clicks, Words
from intarsia.errors import IntarsiaError, NotReady
from orchestrator.stages.run import Run
from orchestrator.stages.served import Served
from orchestrator.triton.refusals import model_reason
from orchestrator.triton.tensors import Tensors, text

FIELDS = {
    "picture": "picture",
    "points": "region.clicks",
    "box": "region.box",
    "words": "region.words.phrase",
    "threshold": "region.words.threshold",
}


def picture_key(picture: np.ndarray) -> bytes:
    """The name under which the model keeps a picture (height, width, RGB) it has embedded."""
    height, width, _ = picture.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


class Sent:
    """Pictures this process has sent lately: the model may still know them by their keys."""

    def __init__(self, most: int = 256) -> None:
        self._keys: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes) -> None:
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)


@dataclass(frozen=True)
class Sam:
    """Bound to one run."""

    served: Served
    run: Run
    sent: Sent

    async def weights(self) -> str:
        """The digest of the loaded weights."""
        return (await self.served.facts())["weights"]

    async def segment(self, picture: np.ndarray, selector: Clicks | Box | Words) -> list[Candidate]:
        """Candidates by falling score for what was pointed at in a picture, uint8 (height, width, RGB).

        Coordinates are pixels. There may be none.
        """
        if isinstance(selector, Words) and not (await self.served.facts())["words"]:
            raise NotReady(
                "the segmentation weights this server has loaded do not understand words; "
                "select by clicks, a box, a polygon or a mask instead",
                model=self.served.name,
            )
        key = await asyncio.to_thread(picture_key, picture)
        reply = await self._ask(picture, key, _prompt(selector, *picture.shape[:2]))
        return await asyncio.to_thread(_candidates, reply)

    async def _ask(self, picture: np.ndarray, key: bytes, prompt: Tensors) -> Tensors:
        """Sends the key alone where that may do: a picture is large, and embedding it takes a while."""
        if key in self.sent:
            try:
                named = {"picture_key": np.frombuffer(key, np.uint8), **prompt}
                return await self.served.infer(named, deadline=self.run.deadline)
            except IntarsiaError as error:
                if model_reason(error) != "UNKNOWN_PICTURE":
                    raise
        reply = await self.served.infer({"picture": picture, **prompt}, deadline=self.run.deadline)
        self.sent.add(key)
        return reply


def _candidates(reply: Tensors) -> list[Candidate]:
    """Each with memory of its own, so that keeping one does not keep all."""
    found = zip(reply["masks"], reply["scores"], strict=True)
    return [Candidate(mask.astype(np.float32), float(score)) for mask, score in found]


def _prompt(selector: Clicks | Box | Words, height: int, width: int) -> Tensors:
    if isinstance(selector, Clicks):
        points = [(click.x, click.y, 0.0 if click.outside else 1.0) for click in selector.clicks]
        return {"points": np.array(points, np.float32)}
    if isinstance(selector, Box):
        # A box may hang over the picture's edge; the model wants the part that does not.
        edges = np.array((selector.left, selector.top, selector.right, selector.bottom), np.float32)
        return {"box": edges.clip(0, np.array((width, height, width, height), np.float32))}
    return {"words": text(selector.phrase), "threshold": np.array([selector.threshold], np.float32)}
