"""The input `weights`: the digest that the weights of a request must have."""

from __future__ import annotations

from services import json_text
from services.refusal import Refusal
from services.runtime.tensors import Tensors

INPUT = "weights"


def check(tensors: Tensors, digest: str) -> None:
    """Refuses a request that was made for weights of another digest: they may have changed since."""
    required = json_text.text(INPUT, tensors[INPUT])
    if required != digest:
        raise Refusal("OTHER_WEIGHTS", f"the weights here have the digest {digest}, not {required[:64]}")
