"""Checkpoints: a trajectory between two steps, written as one safetensors blob.

    latents      float32, the shape of the request's
    generator    UINT8, the state of the random generator
    schedule.*   the schedule's memory of earlier steps
    family.*     the family's state, where it keeps one
    metadata     `checkpoint`, JSON: `format`; `done`, the steps taken; `identity`, a digest of the request

A blob comes from outside: `read` and `Trajectory` refuse one that does not fit, by the name `checkpoint`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from services.refusal import Refusal, invalid

_FORMAT = "intarsia-checkpoint-1"
LARGEST = 1 << 30  # bytes of a blob, where a family sets no limit of its own
MOST_LATENTS = 6  # of latents' size: its own and those that a schedule remembers
_LARGEST_REST = 1 << 16  # bytes beside them
_LARGEST_HEADER = 1 << 20  # bytes
_DRAWN_AT_ONCE = 624  # numbers that the Mersenne twister makes at a time
_ANOTHER = "belongs to another request or other weights; send it with the request that it came from"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trajectory after `done` steps. Tensors are on the host."""

    identity: str
    done: int
    latents: Tensor
    generator: Tensor
    schedule: Mapping[str, Tensor]
    family: Mapping[str, Tensor]

    @property
    def nbytes(self) -> int:
        tensors = (self.latents, self.generator, *self.schedule.values(), *self.family.values())
        return sum(tensor.nbytes for tensor in tensors)

    def blob(self) -> Tensor:
        """The bytes of the checkpoint, UINT8."""
        tensors = {
            "latents": self.latents,
            "generator": self.generator,
            **{f"schedule.{name}": tensor for name, tensor in self.schedule.items()},
            **{f"family.{name}": tensor for name, tensor in self.family.items()},
        }
        # One entry: the format keeps several in no order, and equal checkpoints shall have equal bytes.
        words = {"format": _FORMAT, "done": self.done, "identity": self.identity}
        metadata = {"checkpoint": json.dumps(words)}
        # Tensors may share memory, which the format does not allow.
        alone = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        return torch.frombuffer(bytearray(save(alone, metadata)), dtype=torch.uint8)

    def check(self, identity: str, latents: tuple[int, ...], steps: int) -> None:
        """Raises Refusal unless it belongs to this request."""
        if self.identity != identity or self.latents.shape != latents:
            raise invalid("checkpoint", _ANOTHER)
        if not 1 <= self.done < steps:
            raise invalid(
                "checkpoint", f"is after step {self.done} of {steps}, where no step is left to take"
            )
        for tensor in (self.latents, *(each for name, each in self.schedule.items() if name != "counters")):
            if tensor.dtype != torch.float32 or tensor.shape[-len(latents) :] != latents:
                raise invalid("checkpoint", _ANOTHER)
            if tensor.numel() != self.latents.numel() or not bool(torch.isfinite(tensor).all()):
                raise invalid("checkpoint", "holds latents that are damaged; start the request anew")
        if not _is_generator_state(self.generator):
            raise invalid("checkpoint", "holds a random generator that is damaged; start the request anew")


def read(content: Tensor, largest: int = LARGEST) -> Checkpoint:
    """The checkpoint in a blob of at most `largest` bytes; raises Refusal."""
    if content.dtype != torch.uint8 or content.ndim != 1:
        raise invalid("checkpoint", "must be UINT8, the bytes of a checkpoint")
    if content.numel() > largest:
        raise invalid(
            "checkpoint", f"has {content.numel()} bytes; that of this request has at most {largest}"
        )
    data = content.numpy().tobytes()
    header = int.from_bytes(data[:8], "little")
    try:
        if header > _LARGEST_HEADER:
            raise ValueError("the header is too long")
        tensors = load(data)
        metadata = json.loads(json.loads(data[8 : 8 + header])["__metadata__"]["checkpoint"])
        if metadata["format"] != _FORMAT:
            raise ValueError("the format is another")
        latents, generator = tensors.pop("latents"), tensors.pop("generator")
        schedule, family = _part("schedule.", tensors), _part("family.", tensors)
        if len(schedule) + len(family) < len(tensors):
            raise ValueError("it holds tensors of no known name")
        done = int(metadata["done"])
        return Checkpoint(str(metadata["identity"]), done, latents, generator, schedule, family)
    # RuntimeError and OverflowError: of shapes and numbers that are too large.
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OverflowError) as problem:
        raise invalid(
            "checkpoint", f"is not a whole checkpoint of this version ({str(problem)[:100]})"
        ) from problem


def largest_blob(latents_bytes: int) -> int:
    """The most bytes of a blob for latents of this size, without the family's state."""
    return latents_bytes * MOST_LATENTS + _LARGEST_REST


def identity_of(weights: str, settings: object, tensors: Mapping[str, Tensor]) -> str:
    """The digest of a request: of its weights' digest, its settings and its tensors."""
    digest = hashlib.sha256(json.dumps([weights, settings], sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def damaged(problem: Exception) -> Refusal:
    """The refusal of a checkpoint whose state cannot be taken up."""
    return invalid("checkpoint", f"holds a state that cannot be taken up ({str(problem)[:100]})")


def _is_generator_state(state: Tensor) -> bool:
    """True if a CPU generator that takes this state draws from inside it.

    PyTorch checks its size, but not that the numbers it says are left lie before its end: drawing then reads
    memory of others. The state begins with the seed, the numbers left, a flag, and the index of the next.
    """
    if state.dtype != torch.uint8 or state.shape != torch.Generator("cpu").get_state().shape:
        return False
    left, _, following = struct.unpack_from("=iiQ", state.numpy().tobytes(), 8)
    return (left, following) == (1, 0) or (left >= 1 and left + following == _DRAWN_AT_ONCE + 1)


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
