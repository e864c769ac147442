"""A double of Triton's Python backend, whose own module exists only inside a stub process."""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.utils import dlpack


class TritonError(Exception):
    INVALID_ARG, NOT_FOUND, UNSUPPORTED, UNAVAILABLE, CANCELLED, INTERNAL = range(6)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class Tensor:
    def __init__(self, name: str, value: torch.Tensor) -> None:
        self.name, self.value = name, value

    @classmethod
    def from_dlpack(cls, name: str, value: torch.Tensor) -> Tensor:
        return cls(name, value)

    def to_dlpack(self) -> Any:
        return dlpack.to_dlpack(self.value)


class InferenceResponse:
    def __init__(self, tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.tensors = {tensor.name: tensor.value for tensor in tensors or []}
        self.error = error


class Request:
    """A request as `execute` is handed one."""

    def __init__(self, *, cancelled: bool = False, **tensors: torch.Tensor) -> None:
        self.tensors = tensors
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        return self._cancelled


def module() -> types.ModuleType:
    """What `import triton_python_backend_utils` gives in a stub. `errors` holds what was logged."""
    backend: Any = types.ModuleType("triton_python_backend_utils")
    backend.errors = []
    backend.TritonError, backend.Tensor, backend.InferenceResponse = TritonError, Tensor, InferenceResponse
    backend.Logger = types.SimpleNamespace(log_error=backend.errors.append)

    def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
        return Tensor(name, request.tensors[name]) if name in request.tensors else None

    backend.get_input_tensor_by_name = get_input_tensor_by_name
    return backend
