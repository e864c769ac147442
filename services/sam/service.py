"""The service `sam`: regions of pictures and clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from services.bundles.bundle import Bundle, BundleError
from services.cache import ByteBudgetCache
from services.refusal import Refusal, invalid
from services.sam import fields, half_precision
from services.sam.clips import ClipMemories
from services.sam.clipseg import ClipSegTextHead
from services.sam.correction import with_positive_click
from services.sam.frames_ahead import FrameRef, FramesAhead
from services.sam.memory import Memory
from services.sam.picture_ref import PictureRef
from services.sam.preprocessing import Preprocessing
from services.sam.sam2 import Prompt, Sam2
from services.sam.sam3 import Sam3TextHead
from services.sam.text_head import TextHead
from services.sam.tracking import Tracker

CACHE_BYTES = 2 * 1024**3  # full-size SAM 2 takes 21 MB for a picture, SAM 3 another 113 MB
CLIPS_BYTES = 512 * 1024**2  # full-size SAM 2 takes 4 MB for a clip with one sighting, 20 MB with 32

# Clips worth tracking at a time: while a frame of one is processed, others are decoded, sent and written.
CLIPS_AT_ONCE = 4


class Sam:
    """Answers clicks, boxes and words with masks, and tracks a thing through a clip. The features of a
    picture are cached for further requests, and the memory of a clip for its next frame."""

    inputs = ("picture", "picture_key", "points", "box", "mask", "words", "threshold", "clip", "frame")

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        *,
        cache_bytes: int = CACHE_BYTES,
        clips_bytes: int = CLIPS_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._licences = bundle.licences
        self._digest = bundle.digest  # of what is loaded here; the files may change later
        network = bundle.network("sam", device=device)
        if half_precision.is_used_on(device):
            half_precision.halve_weights(network)
        self._network, self._tracker = Sam2(network), Tracker(network)
        self._ahead = FramesAhead(self._network.encoder, clock=clock)
        self._clips = ClipMemories(self._network, self._tracker, budget_bytes=clips_bytes, clock=clock)
        self._head = _text_head(bundle, self._network, device)
        self._cache: ByteBudgetCache[Any] = ByteBudgetCache(cache_bytes, lambda features: features.bytes)
        self._probe_cache: ByteBudgetCache[Any] = ByteBudgetCache(
            cache_bytes, lambda features: features.bytes
        )

    def facts(self) -> dict[str, Any]:
        """What is loaded, the state of the caches of pictures and clips, and the clips worth tracking at a
        time. `words`: whether phrases can be found; `words_size`: the side in pixels of the square in which
        they are, whatever the picture's size."""
        return {
            "weights": self._digest,
            "licences": self._licences,
            "size": self._network.size,
            "words": self._head is not None,
            "words_size": self._head.size if self._head is not None else None,
            "kept": self._cache.facts(),
            "clips": self._clips.facts(),
            "ahead": self._ahead.facts(),
            "capacity": {"clips": CLIPS_AT_ONCE},
        }

    def digest(self, request: Mapping[str, Tensor]) -> str:
        """The digest of the weights, which are the same for every request."""
        return self._digest

    def probe(self) -> None:
        """Segment a black pixel by a click, track it into a second frame, and find a phrase in it.

        The text head's features of it are cached between probes: its tower may take seconds on a processor,
        and models are probed every few seconds. Its text encoder and its decoder run each time.
        """
        black = torch.zeros(1, 1, 3, dtype=torch.uint8)
        click = Prompt(points=torch.tensor([[0.5, 0.5, 1.0]]))
        features = self._network.embed(black)
        self._network.segment(features, click)
        whole = torch.ones(1, 1, self._network.size, self._network.size)
        _, memory = self._tracker.track(features, 0, Memory(), mask=whole)
        self._tracker.track(features, 1, memory)
        if self._head is not None:
            self._head.find(PictureRef(self._probe_cache, pixels=black), "a thing")

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`masks`, `scores`, `stability` by falling score, of the candidates or of all that a phrase names.

        With a phrase also `best`, the highest score, even if it was not above the threshold. For a frame of a
        clip `logits` and `presence`, and `begun`, the number of the frame that its memory begins with."""
        if "clip" in request:
            frame = fields.frame(request)
            return self._clips.track(frame, self._frame_picture(frame, request))
        return self._find(request) if "words" in request else self._segment(request)

    def forget(self, request: Mapping[str, Tensor]) -> None:
        """Remove the memory of a clip, if there is one, and its frames that were sent ahead."""
        if "clip" not in request:
            raise invalid("clip", 'must come with ask = "forget": the name of the clip to forget')
        clip = fields.clip(request)
        self._clips.discard(clip)
        self._ahead.discard(clip)

    def embed(self, request: Mapping[str, Tensor]) -> None:
        """Take a frame of a clip ahead, to be tracked soon: begin to embed it."""
        for name in ("clip", "picture"):
            if name not in request:
                raise invalid(
                    name, 'must come with ask = "embed": clip, frame and picture of a frame to track'
                )
        frame = fields.frame(request)
        self._ahead.add(frame.clip, frame.number, fields.pixels(request["picture"]))

    def _find(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        phrase, threshold = fields.phrase(request), fields.threshold(request)
        if self._head is None:
            raise Refusal(
                "NOT_READY",
                f"these weights have no text head, so use points or a box to find {phrase[:64]!r}",
            )
        instances = self._head.find(self._picture(request), phrase)
        found = instances.above(threshold)
        return {**found.tensors(), "best": torch.tensor([instances.best])}

    def _segment(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        picture, prompt = self._picture(request), fields.prompt(request)
        fields.check_within(prompt, *picture.size(self._network))
        found = self._network.segment(picture.features_of(self._network), with_positive_click(prompt))
        return found.tensors()

    def _frame_picture(self, frame: fields.ClipFrame, request: Mapping[str, Tensor]) -> PictureRef | FrameRef:
        """The picture of a frame: the one that was sent ahead if none comes with the request."""
        if "picture" not in request and "picture_key" not in request:
            return FrameRef(self._ahead, frame.clip, frame.number)
        # The frames of a clip would replace all other pictures in the cache. For a sighting the thing was
        # usually segmented just before, so that its frame is cached as a still.
        return self._picture(request, cached=frame.mask is not None)

    def _picture(self, request: Mapping[str, Tensor], *, cached: bool = True) -> PictureRef:
        if ("picture" in request) == ("picture_key" in request):
            raise invalid("picture", "or picture_key must be given, not both")
        if "picture" in request:
            return PictureRef(self._cache, pixels=fields.pixels(request["picture"]), cached=cached)
        return PictureRef(self._cache, key=fields.key(request["picture_key"]))


def _text_head(bundle: Bundle, sam: Sam2, device: torch.device) -> TextHead | None:
    """The text head of a bundle; None if it has none."""
    if "text_head" not in bundle.components:
        return None
    network = bundle.network("text_head", device=device)
    kind = type(network).__name__
    if kind not in ("CLIPSegForImageSegmentation", "Sam3Model"):
        raise BundleError(f"bundle {bundle.name}: a {kind} cannot be its text_head; CLIPSeg and SAM 3 can")
    tokenizer, preprocessing = bundle.tokenizer("text_head"), Preprocessing.of(bundle.preprocessor())
    if kind == "Sam3Model":
        return Sam3TextHead(network, tokenizer, preprocessing)
    return ClipSegTextHead(network, tokenizer, preprocessing, sam)
