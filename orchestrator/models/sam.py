"""Regions of a picture from clicks, a box or words, and their correction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from canvas.region import Box, Click, Clicks, MaskCandidate
from intarsia.errors import IntarsiaError, InvalidRequest, NotReady
from orchestrator.models.client import ModelClient
from orchestrator.models.tracking import TrackingSession
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.endpoints import Affinity
from orchestrator.triton.errors import model_reason
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import Tensors, text

# Prompts come from many fields of a request, here all called the region: each call names its own.
_REGION = "region"
FIELDS = {
    "picture": "picture",
    **dict.fromkeys(("points", "box", "words", "threshold", "mask"), _REGION),
}


def picture_key(picture: np.ndarray) -> bytes:
    """The name under which the model keeps a picture (height, width, RGB) it has embedded."""
    height, width, _ = picture.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


@dataclass(frozen=True)
class WordMatches:
    """Candidates that match some words, by falling score."""

    candidates: list[MaskCandidate]
    best: float  # the best score, also below the threshold


@dataclass(frozen=True)
class Sam:
    """Bound to one run.

    Pictures are uint8 (height, width, RGB), coordinates pixels. Errors name the `field` that a prompt was
    read from.
    """

    client: ModelClient
    run: Run
    affinity: Affinity = field(default_factory=Affinity)  # all selections of a run go to one endpoint
    weights: WeightsRef | None = None  # those that must do the work, None for any

    def requiring(self, weights: WeightsRef | None) -> Sam:
        """The same, but only these weights may do the work."""
        return replace(self, weights=weights)

    def tracking(self) -> TrackingSession:
        """A session that tracks one thing through one clip. A context: at its end the model may forget the
        clip."""
        return TrackingSession(self.client, self.run, self.affinity, self.weights)

    async def segment(self, picture: np.ndarray, selector: Clicks | Box, field: str) -> list[MaskCandidate]:
        """Candidates by falling score for what was pointed at. There may be none."""
        if isinstance(selector, Clicks):
            prompt = {"points": _points(selector.clicks)}
        else:
            # A box may hang over the picture's edge; the model wants the part that does not.
            height, width, _ = picture.shape
            edges = np.array((selector.left, selector.top, selector.right, selector.bottom), np.float32)
            prompt = {"box": edges.clip(0, np.array((width, height, width, height), np.float32))}
        return await self._candidates(picture, prompt, field)

    async def segment_words(
        self, picture: np.ndarray, phrase: str, threshold: float, field: str
    ) -> WordMatches:
        """Every thing of that name with a score of at least `threshold`."""
        if not (await self.client.facts(self.affinity, self.weights))["words"]:
            raise NotReady(
                "the segmentation weights this server has loaded do not understand words; "
                "select by clicks, a box, a polygon or a mask instead",
                model=self.client.name,
            )
        prompt = {"words": text(phrase), "threshold": np.array([threshold], np.float32)}
        reply = await self._request(picture, prompt, field)
        return WordMatches(_candidates(reply, await self._pixel(picture)), float(reply["best"][0]))

    async def correct(
        self, picture: np.ndarray, found: MaskCandidate, clicks: Sequence[Click], field: str
    ) -> MaskCandidate:
        """Corrects a mask by clicks: on parts to add, beside parts to remove."""
        inside = await asyncio.to_thread(np.greater_equal, found.mask, 0.5)
        prompt = {"mask": inside.view(np.uint8), "points": _points(clicks)}
        (corrected,) = await self._candidates(picture, prompt, field)
        return corrected

    async def _candidates(self, picture: np.ndarray, prompt: Tensors, field: str) -> list[MaskCandidate]:
        return _candidates(await self._request(picture, prompt, field), await self._pixel(picture))

    async def _pixel(self, picture: np.ndarray) -> float:
        """How many pixels of the picture a pixel of the model spans: it sees every picture as a square of its
        own size."""
        facts = await self.client.facts(self.affinity, self.weights)
        return max(picture.shape[:2]) / float(facts["size"])

    async def _request(self, picture: np.ndarray, prompt: Tensors, field: str) -> Tensors:
        """Sends the key alone where that may do: a picture is large, and embedding it takes a while."""
        key = await asyncio.to_thread(picture_key, picture)
        if self.weights is not None:
            prompt = {**prompt, **self.weights.inputs()}
        with_key = {"picture_key": np.frombuffer(key, np.uint8), **prompt}
        with_pixels = {"picture": picture, **prompt}

        async def request(lease: Lease) -> Tensors:
            while True:
                if upload := lease.known.upload_of(key):
                    try:
                        return await lease.infer(with_key, deadline=self.run.deadline)
                    except IntarsiaError as error:
                        if model_reason(error) != "UNKNOWN_PICTURE":
                            raise
                        lease.known.forget(key, upload)
                async with lease.known.uploading(key):
                    if key not in lease.known:
                        reply = await lease.infer(with_pixels, deadline=self.run.deadline)
                        lease.known.add(key)
                        return reply

        try:
            return await self.client.run(
                request, deadline=self.run.deadline, affinity=self.affinity, weights=self.weights
            )
        except InvalidRequest as error:
            if error.field != _REGION:
                raise
            raise InvalidRequest(error.message, field=field, **error.facts) from None


def _candidates(reply: Tensors, model_pixel: float) -> list[MaskCandidate]:
    """The masks stay where the reply has them."""
    found = zip(reply["masks"], reply["scores"], reply["stability"], strict=True)
    return [MaskCandidate(mask, float(score), model_pixel, float(stable)) for mask, score, stable in found]


def _points(clicks: Sequence[Click]) -> np.ndarray:
    points = [(click.x, click.y, 0.0 if click.outside else 1.0) for click in clicks]
    return np.array(points, np.float32)
