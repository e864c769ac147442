"""Reads the tensors of a request, and checks them: a wrong tensor is refused, and never reaches the network.

`read_args` reads the inputs of all UNets; their families read their own with the same checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from services import json_text
from services.adapters.cache import AdapterUse
from services.adapters.request import read_uses
from services.denoising.checkpoint import MOST_LATENTS, Checkpoint, largest_blob, read
from services.refusal import invalid

INPUTS = (
    "source",
    "text",
    "no_text",
    "seed",
    "steps",
    "guidance",
    "scheduler",
    "reproducible",
    "preview_every",
    "adapters",
    "adapter",
    "cost",
    "checkpoint_every",
    "checkpoint",
)
_LONGEST_TEXT = 1024
LARGEST_SIDE = 256
LARGEST_GUIDANCE = 100.0
_PREVIEW_BYTES = 64 << 20  # a slow reader's replies wait in Triton's memory
_CHECKPOINT_BYTES = 256 << 20


@dataclass(frozen=True)
class NetworkLimits:
    """The limits of the loaded network."""

    channels: int
    text_width: int
    steps: Mapping[str, int]  # the most, by scheduler


@dataclass(frozen=True)
class Defaults:
    """Values for what a request leaves out. `guidance` holds the tensor's numbers by name, in order."""

    steps: int
    guidance: Mapping[str, float]
    scheduler: str


@dataclass(frozen=True, eq=False)
class DenoiseArgs:
    """Arguments of a denoising request, whose latents have the size of `source`."""

    source: Tensor
    text: Tensor
    no_text: Tensor
    seed: int
    steps: int
    guidance: tuple[float, ...]
    scheduler: str
    reproducible: bool = False
    preview_every: int = 0
    adapters: tuple[AdapterUse, ...] = ()
    checkpoint_every: int = 0
    checkpoint: Checkpoint | None = None


def read_args(tensors: Mapping[str, Tensor], limits: NetworkLimits, defaults: Defaults) -> DenoiseArgs:
    """Reads the tensors; raises Refusal naming the one that is wrong and the remedy."""
    source, text, no_text, seed = (required(name, tensors) for name in ("source", "text", "no_text", "seed"))
    text, no_text = (_text(name, value, limits) for name, value in (("text", text), ("no_text", no_text)))
    if text.shape != no_text.shape:
        raise invalid(
            "no_text", f"must be shaped like text, {tuple(text.shape)}, but is {tuple(no_text.shape)}"
        )
    source = _source(source, limits)
    scheduler = _scheduler(tensors, limits, defaults)
    steps = default_steps(scheduler, limits, defaults)
    if "steps" in tensors:
        steps = whole("steps", tensors["steps"], 1, limits.steps[scheduler])
    preview_every = whole("preview_every", tensors.get("preview_every", torch.zeros(1)), 0, 10_000)
    if preview_every and steps // preview_every * source.nbytes > _PREVIEW_BYTES:
        raise invalid(
            "preview_every", f"asks for more than {_PREVIEW_BYTES >> 20} MiB of previews; ask less often"
        )
    return DenoiseArgs(
        source=source,
        text=text,
        no_text=no_text,
        seed=whole("seed", seed, 0, 2**63 - 1),
        steps=steps,
        guidance=_guidance(tensors, defaults),
        scheduler=scheduler,
        reproducible=bool(whole("reproducible", tensors.get("reproducible", torch.zeros(1)), 0, 1)),
        preview_every=preview_every,
        adapters=read_uses(tensors),
        checkpoint_every=_checkpoint_every(tensors, steps, source),
        checkpoint=_checkpoint(tensors, source),
    )


def required(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """A tensor that must be there."""
    if name not in tensors:
        raise invalid(name, "is missing")
    return tensors[name]


def whole(name: str, tensor: Tensor, least: int, most: int) -> int:
    """A single whole number in [least, most]."""
    if tensor.numel() != 1:
        raise invalid(name, f"must be a single number, not {tuple(tensor.shape)}")
    value = int(tensor.reshape(()).item())
    if not least <= value <= most:
        raise invalid(name, f"must be in [{least}, {most}], not {value}")
    return value


def finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32, if every number of it is one."""
    if not bool(torch.isfinite(tensor).all()):
        raise invalid(name, "must hold finite numbers only")
    return tensor.float()


def checked_scheduler(name: str, value: object, limits: NetworkLimits) -> str:
    """The name of one of the network's schedules."""
    if not isinstance(value, str) or value not in limits.steps:
        names = ", ".join(sorted(limits.steps))
        raise invalid(name, f"must be one of {names}, not {str(value)[:64]!r}")
    return value


def default_steps(scheduler: str, limits: NetworkLimits, defaults: Defaults) -> int:
    """The steps of a request that names none: the default, or the most that its schedule takes."""
    return min(defaults.steps, limits.steps[scheduler])


def _checkpoint(tensors: Mapping[str, Tensor], source: Tensor) -> Checkpoint | None:
    if "checkpoint" not in tensors:
        return None
    return read(tensors["checkpoint"], largest_blob(source.nbytes))


def _checkpoint_every(tensors: Mapping[str, Tensor], steps: int, source: Tensor) -> int:
    if "checkpoint_every" not in tensors:
        return 0
    every = whole("checkpoint_every", tensors["checkpoint_every"], 0, 10_000)
    if every and steps // every * source.nbytes * MOST_LATENTS > _CHECKPOINT_BYTES:
        raise invalid(
            "checkpoint_every",
            f"asks for more than {_CHECKPOINT_BYTES >> 20} MiB of checkpoints; ask less often",
        )
    return every


def _source(tensor: Tensor, limits: NetworkLimits) -> Tensor:
    if tensor.ndim != 3 or tensor.shape[0] != limits.channels:
        raise invalid(
            "source", f"must be ({limits.channels}, height, width) latents, not {tuple(tensor.shape)}"
        )
    if not all(1 <= side <= LARGEST_SIDE for side in tensor.shape[1:]):
        raise invalid(
            "source", f"must have sides of 1 to {LARGEST_SIDE} latents, not {tuple(tensor.shape[1:])}"
        )
    return finite("source", tensor)


def _text(name: str, tensor: Tensor, limits: NetworkLimits) -> Tensor:
    fits = tensor.ndim == 2 and tensor.shape[1] == limits.text_width
    if not fits or not 1 <= tensor.shape[0] <= _LONGEST_TEXT:
        raise invalid(
            name,
            f"must be 1 to {_LONGEST_TEXT} tokens of width {limits.text_width}, not {tuple(tensor.shape)}; "
            "encode it with the text encoder of the same bundle",
        )
    return finite(name, tensor)


def _scheduler(tensors: Mapping[str, Tensor], limits: NetworkLimits, defaults: Defaults) -> str:
    if "scheduler" not in tensors:
        return defaults.scheduler
    return checked_scheduler("scheduler", json_text.text("scheduler", tensors["scheduler"]), limits)


def _guidance(tensors: Mapping[str, Tensor], defaults: Defaults) -> tuple[float, ...]:
    if "guidance" not in tensors:
        return tuple(defaults.guidance.values())
    tensor, names = tensors["guidance"], ", ".join(defaults.guidance)
    if tensor.shape != (len(defaults.guidance),):
        raise invalid(
            "guidance", f"must hold {len(defaults.guidance)} numbers ({names}), not {tuple(tensor.shape)}"
        )
    values = tuple(float(value) for value in tensor.tolist())
    if not all(math.isfinite(value) and 0.0 <= value <= LARGEST_GUIDANCE for value in values):
        raise invalid(
            "guidance", f"must be in [0, {LARGEST_GUIDANCE:g}], not {' and '.join(map(str, values))}"
        )
    return values
