"""A double of Triton's Python backend, whose own module exists only inside a stub process."""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import dlpack


class TritonError(Exception):
    INVALID_ARG, NOT_FOUND, UNSUPPORTED, UNAVAILABLE, CANCELLED, INTERNAL = range(6)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class TritonModelException(Exception):
    """An answer of Triton's process that the stub raises."""


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
        self.sender = ResponseSender()
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        return self._cancelled

    def get_response_sender(self) -> ResponseSender:
        return self.sender

    def timeout(self) -> int:
        return 0


class ResponseSender:
    """Keeps what is sent. A reply is taken when `ready` is set; all raises what is `broken`."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int]] = []
        self.ready = threading.Event()
        self.ready.set()
        self.over = threading.Event()
        self.cancelled = self.asked_too_late = False
        self.broken: Exception | None = None
        self.asked = threading.Event()

    def send(self, response: Any, flags: int = 0) -> None:
        assert self.ready.wait(20)
        if self.broken is not None:
            raise self.broken
        self.sent.append((response, flags))
        if flags:
            self.over.set()

    def is_cancelled(self) -> bool:
        self.asked_too_late = self.asked_too_late or self.over.is_set()
        self.asked.set()
        if self.broken is not None:
            raise self.broken
        return self.cancelled


class MetricFamily:
    """Keeps what its metrics are told in `told`, as (family, labels, value), for all families together.

    `alive` holds the families and metrics that exist.
    """

    COUNTER, GAUGE, HISTOGRAM = range(3)
    told: list[tuple[str, dict[str, str], float]]
    alive: weakref.WeakSet[Any]
    broken: bool

    def __init__(self, name: str, description: str, kind: int) -> None:
        self.name = name
        self.alive.add(self)

    def Metric(self, labels: dict[str, str], buckets: list[float] | None = None) -> Any:
        def tell(value: float) -> None:
            if self.broken:
                raise TritonModelException("no metrics today")
            self.told.append((self.name, labels, value))

        return Metric(self, tell)


class Metric:
    """A metric of a family, of any kind."""

    def __init__(self, family: MetricFamily, tell: Callable[[float], None]) -> None:
        self.increment = self.set = self.observe = tell
        family.alive.add(self)


def module() -> types.ModuleType:
    """What `import triton_python_backend_utils` gives in a stub. `errors` holds what was logged."""
    backend: Any = types.ModuleType("triton_python_backend_utils")
    backend.errors = []
    backend.TritonError, backend.Tensor, backend.InferenceResponse = TritonError, Tensor, InferenceResponse
    backend.Logger = types.SimpleNamespace(log_error=backend.errors.append, log_warn=backend.errors.append)
    backend.TritonModelException, backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL = TritonModelException, 1
    backend.MetricFamily = type(
        "MetricFamily", (MetricFamily,), {"told": [], "alive": weakref.WeakSet(), "broken": False}
    )

    def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
        return Tensor(name, request.tensors[name]) if name in request.tensors else None

    backend.get_input_tensor_by_name = get_input_tensor_by_name
    return backend
