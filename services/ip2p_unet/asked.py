"""What a request's tensors ask for, checked: a stranger's tensor gets an answer, never a crash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from services import json_text
from services.refusal import invalid

_LONGEST_TEXT = 1024
_LARGEST_SIDE = 256
_PREVIEW_BYTES = 64 << 20  # a slow reader's replies wait in Triton's memory


@dataclass(frozen=True)
class Limits:
    """What the loaded network takes."""

    channels: int
    text_width: int
    steps: Mapping[str, int]  # the most that each scheduler can take


@dataclass(frozen=True)
class Defaults:
    """What is meant where a request says nothing."""

    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str


@dataclass(frozen=True, eq=False)
class Asked:
    """An edit of latents."""

    source: Tensor
    text: Tensor
    no_text: Tensor
    seed: int
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    reproducible: bool
    preview_every: int


def asked(tensors: Mapping[str, Tensor], limits: Limits, defaults: Defaults) -> Asked:
    """Reads the tensors; raises Refusal naming the one that is wrong and the remedy."""
    for name in ("source", "text", "no_text", "seed"):
        if name not in tensors:
            raise invalid(name, "is missing")
    text, no_text = (_text(name, tensors[name], limits) for name in ("text", "no_text"))
    if text.shape != no_text.shape:
        raise invalid(
            "no_text", f"must be shaped like text, {tuple(text.shape)}, but is {tuple(no_text.shape)}"
        )
    guidance, picture_guidance = defaults.guidance, defaults.picture_guidance
    if "guidance" in tensors:
        guidance, picture_guidance = _guidance(tensors["guidance"])
    scheduler = defaults.scheduler
    if "scheduler" in tensors:
        scheduler = json_text.text("scheduler", tensors["scheduler"])
        if scheduler not in limits.steps:
            raise invalid(
                "scheduler", f"must be one of {', '.join(sorted(limits.steps))}, not {scheduler[:64]!r}"
            )
    source = _source(tensors["source"], limits)
    steps = defaults.steps
    if "steps" in tensors:
        steps = _whole("steps", tensors["steps"], 1, limits.steps[scheduler])
    preview_every = _whole("preview_every", tensors.get("preview_every", torch.zeros(1)), 0, 10_000)
    if preview_every and steps // preview_every * source.nbytes > _PREVIEW_BYTES:
        raise invalid(
            "preview_every", f"asks for more than {_PREVIEW_BYTES >> 20} MiB of previews; ask less often"
        )
    return Asked(
        source=source,
        text=text,
        no_text=no_text,
        seed=_whole("seed", tensors["seed"], 0, 2**63 - 1),
        steps=steps,
        guidance=guidance,
        picture_guidance=picture_guidance,
        scheduler=scheduler,
        reproducible=bool(_whole("reproducible", tensors.get("reproducible", torch.zeros(1)), 0, 1)),
        preview_every=preview_every,
    )


def _source(tensor: Tensor, limits: Limits) -> Tensor:
    if tensor.ndim != 3 or tensor.shape[0] != limits.channels:
        raise invalid(
            "source", f"must be ({limits.channels}, height, width) latents, not {tuple(tensor.shape)}"
        )
    if not all(1 <= side <= _LARGEST_SIDE for side in tensor.shape[1:]):
        raise invalid(
            "source", f"must have sides of 1 to {_LARGEST_SIDE} latents, not {tuple(tensor.shape[1:])}"
        )
    return _finite("source", tensor)


def _text(name: str, tensor: Tensor, limits: Limits) -> Tensor:
    fits = tensor.ndim == 2 and tensor.shape[1] == limits.text_width
    if not fits or not 1 <= tensor.shape[0] <= _LONGEST_TEXT:
        raise invalid(
            name,
            f"must be 1 to {_LONGEST_TEXT} tokens of width {limits.text_width}, not {tuple(tensor.shape)}; "
            "encode it with the text encoder of the same bundle",
        )
    return _finite(name, tensor)


def _guidance(tensor: Tensor) -> tuple[float, float]:
    if tensor.shape != (2,):
        raise invalid("guidance", f"must be two numbers, words and source, not {tuple(tensor.shape)}")
    words, source = (float(value) for value in tensor.tolist())
    if not all(math.isfinite(value) and 0.0 <= value <= 100.0 for value in (words, source)):
        raise invalid("guidance", f"must be in [0, 100], not {words} and {source}")
    return words, source


def _whole(name: str, tensor: Tensor, least: int, most: int) -> int:
    if tensor.numel() != 1:
        raise invalid(name, f"must be a single number, not {tuple(tensor.shape)}")
    value = int(tensor.reshape(()).item())
    if not least <= value <= most:
        raise invalid(name, f"must be in [{least}, {most}], not {value}")
    return value


def _finite(name: str, tensor: Tensor) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise invalid(name, "must hold finite numbers only")
    return tensor.float()
