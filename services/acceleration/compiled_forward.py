"""A network compiled by `torch.compile`, beside the network that was loaded."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from services.acceleration.compile_requirements import missing_requirement, prepare_compiler

Call = Callable[..., Tensor]  # (network, *inputs) -> predictions, as a family calls its network


def channels_last_twin(network: nn.Module) -> nn.Module:
    """A network with the same weights: those of convolutions are copies in channels-last, others are shared.

    Hooks of adapters are added to the loaded network, which also keeps its memory format and its bytes.
    """
    own: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        own[id(tensor)] = tensor
        if isinstance(tensor, nn.Parameter) and tensor.dim() == 4:
            copied = tensor.detach().contiguous(memory_format=torch.channels_last)
            own[id(tensor)] = nn.Parameter(copied, requires_grad=tensor.requires_grad)
    return copy.deepcopy(network, own)


class CompiledForward:
    """Forward passes of a compiled twin."""

    def __init__(self, network: nn.Module, call: Call, backend: str | Callable) -> None:
        self._call = call
        self._network = torch.compile(channels_last_twin(network), dynamic=False, backend=backend)

    def compile(self, *inputs: Tensor) -> Tensor:
        """The result of a pass; what is missing for its shape is compiled first. Raises RuntimeError."""
        return self._call(self._network, *(_channels_last(tensor) for tensor in inputs))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result of a pass. Nothing is compiled: requests would wait for a minute."""
        with torch.compiler.set_stance("eager_on_recompile"):
            return self.compile(*inputs)


class NetworkCompiler:
    """Compiles one network if this machine can."""

    def __init__(self, network: nn.Module, call: Call, backend: str | Callable = "inductor") -> None:
        self._network, self._call, self._backend = network, call, backend

    def prepare(self, cache: Path | None) -> str:
        """Makes the compiler ready; what is missing for it, or nothing."""
        missing = missing_requirement(cache)
        if not missing and cache is not None:
            prepare_compiler(cache)
        return missing

    def forward(self) -> CompiledForward:
        """The passes of a compiled twin."""
        return CompiledForward(self._network, self._call, self._backend)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
