"""Regions of pictures, at the door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from services.kept import Kept
from services.refusal import Refusal, invalid
from services.sam import asked
from services.sam.clipseg import ClipSegWords
from services.sam.correction import completed
from services.sam.network import Prompt, Sam2
from services.sam.picture import Looks
from services.sam.sam3 import Sam3Words
from services.sam.shown import Shown
from services.sam.words import TextHead
from services.weights.bundle import Bundle, BundleError

KEPT_BYTES = 2 * 1024**3  # full-size SAM 2 takes 21 MB for a picture, SAM 3 another 113 MB


class Sam:
    """Answers clicks, boxes and words with masks. What networks make of a picture is kept for the next."""

    inputs = ("picture", "picture_key", "points", "box", "mask", "words", "threshold")

    def __init__(self, bundle: Bundle, device: torch.device, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._digest = bundle.digest  # of what is being loaded; the files may change afterwards
        self._network = Sam2(bundle.network("sam", device=device))
        self._head = _text_head(bundle, self._network, device)
        self._kept: Kept[Any] = Kept(kept_bytes, lambda known: known.bytes)
        self._probed: Kept[Any] = Kept(kept_bytes, lambda known: known.bytes)

    def facts(self) -> dict[str, Any]:
        """What is loaded, and how the memory of pictures is doing. `words`: whether names are understood;
        `words_size`: in a square of how many pixels they are looked for, whatever the picture's size."""
        return {
            "weights": self._digest,
            "size": self._network.size,
            "words": self._head is not None,
            "words_size": self._head.size if self._head is not None else None,
            "kept": self._kept.facts(),
        }

    def probe(self) -> None:
        """Embeds a black pixel, clicks on it, and looks for something in it.

        What a text head sees in it is kept between probes: its tower may take seconds on a processor, and
        models are probed every few of them. Its words and its decoder are asked each time.
        """
        black = torch.zeros(1, 1, 3, dtype=torch.uint8)
        picture = Shown(Kept(0, lambda known: known.bytes), pixels=black)
        click = Prompt(points=torch.tensor([[0.5, 0.5, 1.0]]))
        self._network.segment(picture.known_to(self._network), click)
        if self._head is not None:
            self._head.find(Shown(self._probed, pixels=black), "a thing")

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`masks` and `scores` by falling score, of candidates or of all that words name; with words also
        `best`, the best score there was, whether it was enough or not."""
        return self._found(request) if "words" in request else self._selected(request)

    def _found(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        phrase, threshold = asked.phrase(request), asked.threshold(request)
        if self._head is None:
            raise Refusal(
                "NOT_READY",
                f"these weights do not understand words, so use points or a box to find {phrase[:64]!r}",
            )
        instances = self._head.find(self._shown(request), phrase)
        found = instances.above(threshold)
        return {"masks": found.masks, "scores": found.scores, "best": torch.tensor([instances.best])}

    def _selected(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        picture, prompt = self._shown(request), asked.pointed(request)
        asked.check_within(prompt, *picture.size(self._network))
        found = self._network.segment(picture.known_to(self._network), completed(prompt))
        return {"masks": found.masks, "scores": found.scores}

    def _shown(self, request: Mapping[str, Tensor]) -> Shown:
        if ("picture" in request) == ("picture_key" in request):
            raise invalid("picture", "or picture_key must be given, and not both")
        if "picture" in request:
            return Shown(self._kept, pixels=asked.pixels(request["picture"]))
        return Shown(self._kept, key=asked.key(request["picture_key"]))


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
