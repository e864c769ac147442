"""Calls a service as a plain client would: tensors in, tensors or an error out."""

from __future__ import annotations

from typing import Any

import torch

from services import json_text
from services.refusal import Refusal


def tensors(**inputs: Any) -> dict[str, torch.Tensor]:
    """Text becomes JSON in UINT8, everything else is a tensor already."""
    return {
        name: json_text.to_tensor(value) if isinstance(value, str) else value
        for name, value in inputs.items()
    }


def refusal(service: Any, **inputs: Any) -> Refusal:
    """The refusal of a request that the service must not serve."""
    try:
        service.answer(tensors(**inputs))
    except Refusal as refused:
        return refused
    raise AssertionError("the request was served")
