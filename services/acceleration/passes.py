"""How a family runs its network: layer by layer, or on a GPU as recorded graphs."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from services.acceleration.cuda_recorder import CudaRecorder
from services.acceleration.graphed_passes import GraphedPasses
from services.acceleration.recorder import Forward

# The path of reproducible requests, in facts, manifests and checkpoints. Whatever makes other passes faster,
# these run the loaded network layer by layer; were that changed, this word would have to be another.
REPRODUCIBLE_PATH = "eager"


class Passes(Protocol):
    """Runs forward passes of one network, and may keep memory to do so faster."""

    def __call__(self, *inputs: Tensor, eager: bool = False) -> Tensor:
        """The result for these rows. With `eager` the loaded network runs layer by layer, as it must with
        hooks, and for bytes that are always the same."""

    @property
    def nbytes(self) -> int:
        """The memory that is kept."""

    def limit(self, limit_bytes: int) -> None:
        """Keeps no more memory than this from now on. Any thread may call it, and `clear`."""

    def clear(self) -> None:
        """Gives back all memory that is kept."""

    def facts(self) -> dict[str, Any]:
        """The path of passes that may take any, and what is kept for it."""


class EagerPasses:
    """Runs every pass layer by layer."""

    nbytes = 0

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    def __call__(self, *inputs: Tensor, eager: bool = False) -> Tensor:
        return self._forward(*inputs)

    def limit(self, limit_bytes: int) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Nothing is kept."""

    def facts(self) -> dict[str, Any]:
        return {"path": "eager"}


def passes_for(forward: Forward, device: torch.device) -> Passes:
    """The fastest way to run these passes on a device: as graphs on a GPU."""
    return GraphedPasses(forward, CudaRecorder(device)) if device.type == "cuda" else EagerPasses(forward)
