"""Tensors across Triton's border.

They cross by DLPack through torch, never through NumPy: beside NumPy 2 this Triton's own conversion
corrupts values silently. Text crosses as UINT8 holding JSON, never as BYTES, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import triton_python_backend_utils as pb

from services.refusal import Refusal

Tensors = dict[str, torch.Tensor]

# By name: the stub fills the backend's module in only after the model's own imports.
_CODES = {
    "INVALID_FIELD": "INVALID_ARG",
    "EMPTY_REGION": "NOT_FOUND",
    "NOT_FOUND": "NOT_FOUND",
    "UNKNOWN_PICTURE": "NOT_FOUND",
    "UNKNOWN_CLIP": "NOT_FOUND",
    "UNKNOWN_ADAPTER": "NOT_FOUND",
    "OTHER_WEIGHTS": "NOT_FOUND",
    "NOT_READY": "UNSUPPORTED",
    "BUSY": "UNAVAILABLE",
    "MODEL_DOWN": "UNAVAILABLE",
    "CANCELLED": "CANCELLED",
    "TIME_LIMIT": "CANCELLED",
}


def received(request: Any, names: Iterable[str]) -> Tensors:
    """The inputs of a request, copied: tensors that Triton owns would pin its shared memory.

    Inputs may arrive on the host only; anything else is a fault of the deployment.
    """
    found: Tensors = {}
    for name in names:
        tensor = pb.get_input_tensor_by_name(request, name)
        if tensor is not None:
            found[name] = torch.from_dlpack(tensor.to_dlpack()).clone()
    return found


def response(outputs: Mapping[str, torch.Tensor]) -> Any:
    """A response made of tensors; they are copied to the host and made contiguous."""
    return pb.InferenceResponse(
        [pb.Tensor.from_dlpack(name, value.detach().cpu().contiguous()) for name, value in outputs.items()]
    )


def refused(refusal: Refusal) -> Any:
    """The error response of a refusal."""
    code = getattr(pb.TritonError, _CODES.get(refusal.reason, "INTERNAL"))
    return pb.InferenceResponse(error=pb.TritonError(str(refusal), code))
