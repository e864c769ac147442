"""How a family runs its network: layer by layer, or on a GPU as recorded graphs, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from services.acceleration.compiled_forward import Call, NetworkCompiler
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

    def compile(self, usual: Callable[[], None], cache: Path | None) -> None:
        """Compiles the network for the shapes of the passes that `usual` runs, before requests come. Compiled
        code is kept in a folder. Where it cannot be done, log and facts say why."""

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

    def compile(self, usual: Callable[[], None], cache: Path | None) -> None:
        """Nothing is compiled."""

    def limit(self, limit_bytes: int) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Nothing is kept."""

    def facts(self) -> dict[str, Any]:
        return {"path": "eager"}


def passes_for(network: nn.Module, device: torch.device, call: Call = nn.Module.__call__) -> Passes:
    """The way to run passes of a network on a device: as graphs on a GPU.

    `call` takes the network and a pass's inputs, and returns the predictions, one row for each of theirs.
    """
    forward = partial(call, network)
    if device.type != "cuda":
        return EagerPasses(forward)
    return GraphedPasses(forward, CudaRecorder(device), NetworkCompiler(network, call))
