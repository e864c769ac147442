"""Reads and validates the tensors of a request to `sam`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from services import json_text
from services.refusal import invalid
from services.sam.sam2 import Prompt

LARGEST = 100_000_000  # pixels
MOST_POINTS = 1024
LONGEST_PHRASE = 200  # letters
THRESHOLD = 0.5  # the default

Request = Mapping[str, Tensor]


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a tracked clip: the clip's name and the frame's number. In a sighting `mask`, uint8
    (height, width) of 0 and 1, shows the thing."""

    clip: bytes
    number: int
    mask: Tensor | None


def pixels(tensor: Tensor) -> Tensor:
    """The picture, uint8 (height, width, 3)."""
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


def key(tensor: Tensor) -> bytes:
    """The SHA-256 of a picture that was sent before."""
    if tensor.dtype != torch.uint8 or tensor.shape != (32,):
        raise invalid("picture_key", f"must be the 32 bytes of a SHA-256, not {tuple(tensor.shape)}")
    return bytes(tensor.tolist())


def phrase(request: Request) -> str:
    """The phrase that names what to find; no other prompt may come with it."""
    words = json_text.text("words", request["words"]).strip()
    if not words:
        raise invalid("words", "must name what to find")
    if len(words) > LONGEST_PHRASE:
        raise invalid("words", f"has {len(words)} letters; at most {LONGEST_PHRASE} are read")
    for name in ("points", "box", "mask", "frame"):
        if name in request:
            raise invalid(name, "cannot be combined with words; send two requests")
    return words


def threshold(request: Request) -> float:
    """The score above which things are returned."""
    if "threshold" not in request:
        return THRESHOLD
    tensor = request["threshold"]
    if tensor.dtype != torch.float32 or tensor.shape != (1,):
        raise invalid("threshold", f"must be FP32 (1), not {tuple(tensor.shape)}")
    value = float(tensor[0])
    if not 0 <= value <= 1:
        raise invalid("threshold", f"must be in [0, 1], not {value}")
    return value


def prompt(request: Request) -> Prompt:
    """Clicks, a box, and a mask to correct, validated as far as possible without the picture's size."""
    if "points" not in request and "box" not in request:
        raise invalid("points", "or a box must be given")
    for name, other in (("threshold", "words"), ("frame", "clip")):
        if name in request:
            raise invalid(name, f"is used with {other} only; leave it out")
    return Prompt(
        _coordinates(request, "points"), _coordinates(request, "box"), _mask(request, "correct; leave it out")
    )


def clip(request: Request) -> bytes:
    """The name of a clip, which the caller chose."""
    tensor = request["clip"]
    if tensor.dtype != torch.uint8 or tensor.shape != (16,):
        raise invalid("clip", f"must be 16 bytes drawn at random, not {tuple(tensor.shape)}")
    return bytes(tensor.tolist())


def frame(request: Request) -> ClipFrame:
    """The frame of a clip to track the thing in, with its mask if one is given."""
    name = clip(request)
    if "frame" not in request:
        raise invalid("frame", "must come with clip: the number of the frame, from 0")
    for other in ("points", "box", "words", "threshold"):
        if other in request:
            raise invalid(other, "cannot be combined with clip; find a mask by it first, and send that")
    tensor = request["frame"]
    if tensor.dtype != torch.int32 or tensor.shape != (1,):
        raise invalid("frame", f"must be INT32 (1), not {tuple(tensor.shape)}")
    if int(tensor) < 0:
        raise invalid("frame", f"counts from 0, not {int(tensor)}")
    return ClipFrame(name, int(tensor), _mask(request, "track; leave it out to have the thing found"))


def check_within(prompt: Prompt, height: int, width: int) -> None:
    """Check that a prompt lies within the picture and includes something; raises Refusal."""
    if prompt.mask is not None and prompt.mask.shape != (height, width):
        actual = f"{prompt.mask.shape[1]} x {prompt.mask.shape[0]}"
        raise invalid("mask", f"must have the picture's size, {width} x {height} pixels; it is {actual}")
    if prompt.points is not None:
        alone = prompt.box is None and prompt.mask is None
        _check_points(prompt.points, width, height, alone=alone)
    if prompt.box is not None:
        _check_box(prompt.box, width, height)


def _coordinates(request: Request, name: str) -> Tensor | None:
    """The points or the box; None if absent."""
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


def _mask(request: Request, purpose: str) -> Tensor | None:
    if "mask" not in request:
        return None
    tensor = request["mask"]
    if tensor.dtype != torch.uint8 or tensor.ndim != 2:
        raise invalid("mask", f"must be UINT8 (height, width), not {tuple(tensor.shape)}")
    if tensor.numel() and int(tensor.max()) > 1:
        raise invalid("mask", f"must hold 1 inside and 0 outside, not {int(tensor.max())}")
    if not bool(tensor.any()):
        raise invalid("mask", f"selects no pixel, so there is nothing to {purpose}")
    return tensor


def _check_points(points: Tensor, width: int, height: int, *, alone: bool) -> None:
    if not 1 <= len(points) <= MOST_POINTS:
        raise invalid("points", f"must be 1 to {MOST_POINTS}, not {len(points)}")
    x, y, labels = points.unbind(1)
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise invalid("points", "must have labels 1, on the thing, or 0, beside it")
    if alone and not bool((labels == 1).any()):
        raise invalid(
            "points", "must have at least one with label 1, on the thing, unless there is a box or a mask"
        )
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
