"""Regions of pictures, at the door."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from services.bundles.bundle import Bundle, BundleError
from services.cache import ByteBudgetCache
from services.refusal import Refusal, invalid
from services.sam import fields
from services.sam.clips import Clips
from services.sam.clipseg import ClipSegWords
from services.sam.correction import completed
from services.sam.memory import Memory
from services.sam.picture_ref import Shown
from services.sam.preprocessing import Looks
from services.sam.sam2 import Prompt, Sam2
from services.sam.sam3 import Sam3Words
from services.sam.tracking import Follower
from services.sam.words import TextHead

KEPT_BYTES = 2 * 1024**3  # full-size SAM 2 takes 21 MB for a picture, SAM 3 another 113 MB
CLIPS_BYTES = 512 * 1024**2  # full-size SAM 2 takes 4 MB for a clip with one sighting, 20 MB with 32


class Sam:
    """Answers clicks, boxes and words with masks, and follows a thing through a clip. What networks make of
    a picture is kept for the next question, and what is remembered of a clip for the next frame."""

    inputs = ("picture", "picture_key", "points", "box", "mask", "words", "threshold", "clip", "frame")

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        *,
        kept_bytes: int = KEPT_BYTES,
        clips_bytes: int = CLIPS_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._digest = bundle.digest  # of what is being loaded; the files may change afterwards
        network = bundle.network("sam", device=device)
        self._network, self._follower = Sam2(network), Follower(network)
        self._clips = Clips(self._network, self._follower, budget_bytes=clips_bytes, clock=clock)
        self._head = _text_head(bundle, self._network, device)
        self._kept: ByteBudgetCache[Any] = ByteBudgetCache(kept_bytes, lambda known: known.bytes)
        self._probed: ByteBudgetCache[Any] = ByteBudgetCache(kept_bytes, lambda known: known.bytes)

    def facts(self) -> dict[str, Any]:
        """What is loaded, and how the memory of pictures and of clips is doing. `words`: whether names are
        understood; `words_size`: in a square of how many pixels they are looked for, whatever the picture's
        size."""
        return {
            "weights": self._digest,
            "size": self._network.size,
            "words": self._head is not None,
            "words_size": self._head.size if self._head is not None else None,
            "kept": self._kept.facts(),
            "clips": self._clips.facts(),
        }

    def probe(self) -> None:
        """Embeds a black pixel, clicks on it, follows it into a second frame, and looks for something in it.

        What a text head sees in it is kept between probes: its tower may take seconds on a processor, and
        models are probed every few of them. Its words and its decoder are fields each time.
        """
        black = torch.zeros(1, 1, 3, dtype=torch.uint8)
        click = Prompt(points=torch.tensor([[0.5, 0.5, 1.0]]))
        known = self._network.embed(black)
        self._network.segment(known, click)
        whole = torch.ones(1, 1, self._network.size, self._network.size)
        _, memory = self._follower.look(known, 0, Memory(), mask=whole)
        self._follower.look(known, 1, memory)
        if self._head is not None:
            self._head.find(Shown(self._probed, pixels=black), "a thing")

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`masks` and `scores` by falling score, of candidates or of all that words name; with words also
        `best`, the best score there was, whether it was enough or not. Of a clip's frame `logits` and
        `presence`, and `begun`, the number of the frame that the memory of the clip begins with."""
        if "clip" in request:
            frame = fields.frame(request)
            # To keep all the frames of a clip would only drive others' pictures out. In a sighting somebody
            # found the thing just now, so that it may well be known as a still.
            return self._clips.look(frame, self._shown(request, passing=frame.mask is None))
        return self._found(request) if "words" in request else self._selected(request)

    def forget(self, request: Mapping[str, Tensor]) -> None:
        """Remembers a clip no longer, if it did."""
        if "clip" not in request:
            raise invalid("clip", 'must come with ask = "forget": the name of the clip to forget')
        self._clips.forget(fields.clip(request))

    def _found(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        phrase, threshold = fields.phrase(request), fields.threshold(request)
        if self._head is None:
            raise Refusal(
                "NOT_READY",
                f"these weights do not understand words, so use points or a box to find {phrase[:64]!r}",
            )
        instances = self._head.find(self._shown(request), phrase)
        found = instances.above(threshold)
        return {"masks": found.masks, "scores": found.scores, "best": torch.tensor([instances.best])}

    def _selected(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        picture, prompt = self._shown(request), fields.pointed(request)
        fields.check_within(prompt, *picture.size(self._network))
        found = self._network.segment(picture.known_to(self._network), completed(prompt))
        return {"masks": found.masks, "scores": found.scores}

    def _shown(self, request: Mapping[str, Tensor], *, passing: bool = False) -> Shown:
        if ("picture" in request) == ("picture_key" in request):
            raise invalid("picture", "or picture_key must be given, and not both")
        if "picture" in request:
            return Shown(self._kept, pixels=fields.pixels(request["picture"]), passing=passing)
        return Shown(self._kept, key=fields.key(request["picture_key"]))


def _text_head(bundle: Bundle, sam: Sam2, device: torch.device) -> TextHead | None:
    """What the bundle finds things by words with, if it can."""
    if "text_head" not in bundle.components:
        return None
    network = bundle.network("text_head", device=device)
    kind = type(network).__name__
    if kind not in ("CLIPSegForImageSegmentation", "Sam3Model"):
        raise BundleError(f"bundle {bundle.name}: a {kind} finds nothing by words; CLIPSeg and SAM 3 do")
    tokenizer, looks = bundle.tokenizer("text_head"), Looks.of(bundle.preprocessor())
    if kind == "Sam3Model":
        return Sam3Words(network, tokenizer, looks)
    return ClipSegWords(network, tokenizer, looks, sam)
