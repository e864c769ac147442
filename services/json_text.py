"""Text and JSON as UINT8 tensors, the only form in which text crosses Triton's border."""

from __future__ import annotations

import json
from typing import Any

import torch

from services.refusal import invalid

LONGEST = 1 << 17  # bytes; parsed, JSON may take a hundred times as much


def to_tensor(value: Any) -> torch.Tensor:
    """JSON as UINT8, shaped (bytes,)."""
    return torch.frombuffer(bytearray(json.dumps(value, ensure_ascii=False).encode()), dtype=torch.uint8)


def from_tensor(name: str, tensor: torch.Tensor) -> Any:
    """The value of JSON in a UINT8 tensor; `name` is the input it came in, for the error."""
    if tensor.dtype != torch.uint8:
        raise invalid(name, "must be UINT8 holding JSON")
    if tensor.numel() > LONGEST:
        raise invalid(name, f"has {tensor.numel()} bytes of JSON; at most {LONGEST} are read")
    try:
        return json.loads(tensor.cpu().numpy().tobytes().decode())
    except (ValueError, RecursionError) as problem:
        raise invalid(name, f"must be JSON in UTF-8: {problem}") from problem


def text(name: str, tensor: torch.Tensor) -> str:
    """The string of a JSON string."""
    value = from_tensor(name, tensor)
    if not isinstance(value, str):
        raise invalid(name, "must be a JSON string")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise invalid(name, "must be Unicode text without unpaired surrogates")
    return value
