"""SAM 2 at its door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from services import json_text
from services.kept import Kept
from services.refusal import Refusal, invalid
from services.sam.network import Embedded, Prompt, Sam2
from services.sam.picture import key_of
from services.weights.bundle import Bundle

LARGEST = 100_000_000  # pixels
MOST_POINTS = 1024
KEPT_BYTES = 2 * 1024**3  # full-size weights take 21 MB for a picture


class Sam:
    """Answers clicks and boxes with masks. A picture is embedded once and kept for further prompts."""

    inputs = ("picture", "picture_key", "points", "box", "words", "threshold")

    def __init__(self, bundle: Bundle, device: torch.device, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._digest = bundle.digest  # of what is being loaded; the files may change afterwards
        self._network = Sam2(bundle.network("sam", device=device))
        self._kept: Kept[Embedded] = Kept(kept_bytes, lambda embedded: embedded.bytes)

    def facts(self) -> dict[str, Any]:
        """What is loaded, and how the memory of pictures is doing. `words`: whether names are understood."""
        return {
            "weights": self._digest,
            "size": self._network.size,
            "words": False,
            "kept": self._kept.facts(),
        }

    def probe(self) -> None:
        """Embeds a black pixel and clicks on it; nothing is kept."""
        picture = self._network.embed(torch.zeros(1, 1, 3, dtype=torch.uint8))
        self._network.segment(picture, Prompt(points=torch.tensor([[0.5, 0.5, 1.0]])))

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`masks` and `scores` of the candidates, by falling score."""
        if "words" in request:
            raise _without_words(request["words"])
        if ("picture" in request) == ("picture_key" in request):
            raise invalid("picture", "or picture_key must be given, and not both")
        if "points" not in request and "box" not in request:
            raise invalid("points", "or a box must be given, to say what is meant")
        if "threshold" in request:
            raise invalid("threshold", "goes with words only; leave it out")
        points, box = (_shaped(request, name) for name in ("points", "box"))
        picture = self._named(request) if "picture_key" in request else _pixels(request["picture"])
        height, width = (
            (picture.height, picture.width) if isinstance(picture, Embedded) else picture.shape[:2]
        )
        if points is not None:
            _check_points(points, width, height, alone=box is None)
        if box is not None:
            _check_box(box, width, height)
        embedded = picture if isinstance(picture, Embedded) else self._embedded(picture)
        found = self._network.segment(embedded, Prompt(points, box))
        return {"masks": found.masks, "scores": found.scores}

    def _named(self, request: Mapping[str, Tensor]) -> Embedded:
        key = request["picture_key"]
        if key.dtype != torch.uint8 or key.shape != (32,):
            raise invalid("picture_key", f"must be the 32 bytes of a SHA-256, not {tuple(key.shape)}")
        found = self._kept.get(bytes(key.tolist()))
        if found is None:
            raise Refusal(
                "UNKNOWN_PICTURE", "picture_key names no picture that is kept here; send its pixels"
            )
        return found

    def _embedded(self, pixels: Tensor) -> Embedded:
        key = key_of(pixels)
        found = self._kept.get(key)
        if found is None:
            found = self._network.embed(pixels)
            self._kept.keep(key, found)
        return found


def _without_words(words: Tensor) -> Refusal:
    phrase = json_text.text("words", words)
    return Refusal(
        "NOT_READY",
        f"these weights do not understand words, so use points or a box to find {phrase[:64]!r}",
    )


def _pixels(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.uint8 or tensor.ndim != 3 or tensor.shape[2] != 3:
        raise invalid("picture", f"must be UINT8 (height, width, 3), not {tuple(tensor.shape)}")
    height, width = tensor.shape[:2]
    if not height or not width:
        raise invalid("picture", f"has no pixel: it is {width} x {height}")
    if height * width > LARGEST:
        raise invalid(
            "picture", f"has {height * width} pixels; at most {LARGEST} are taken, so scale it down"
        )
    return tensor


def _shaped(request: Mapping[str, Tensor], name: str) -> Tensor | None:
    """A prompt's tensor, if it is there, of the right shape and finite."""
    if name not in request:
        return None
    tensor = request[name]
    right = tensor.ndim == 2 and tensor.shape[1] == 3 if name == "points" else tensor.shape == (4,)
    if tensor.dtype != torch.float32 or not right:
        wanted = "(count, 3): x, y, label" if name == "points" else "(4): left, top, right, bottom"
        raise invalid(name, f"must be FP32 {wanted}, not {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise invalid(name, "must hold finite numbers only")
    return tensor


def _check_points(points: Tensor, width: int, height: int, *, alone: bool) -> None:
    if not 1 <= len(points) <= MOST_POINTS:
        raise invalid("points", f"must be 1 to {MOST_POINTS}, not {len(points)}")
    x, y, labels = points.unbind(1)
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise invalid("points", "must have labels 1, on the thing, or 0, beside it")
    if alone and not bool((labels == 1).any()):
        raise invalid("points", "must have at least one with label 1, on the thing, unless there is a box")
    if not bool(((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).all()):
        raise invalid("points", f"must lie in the picture, which is {width} x {height} pixels")


def _check_box(box: Tensor, width: int, height: int) -> None:
    left, top, right, bottom = box.tolist()
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise invalid(
            "box",
            f"must have left < right and top < bottom within the picture, "
            f"which is {width} x {height} pixels; it is {left}, {top}, {right}, {bottom}",
        )
