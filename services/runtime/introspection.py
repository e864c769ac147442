"""Queries that every model answers beside its work; some models answer more.

`ask` = "facts" describes what is loaded, so that no other process needs a copy of the configuration. `ask` =
"probe" does a small piece of real work and returns `known`: a model that answers a probe works as a whole,
and numbers that come back changed reveal a corrupting transfer.
"""

from __future__ import annotations

import json

from services import json_text
from services.refusal import invalid
from services.runtime.tensors import Tensors

INPUTS = ("ask", "known")
MOST_KNOWN = 4096  # numbers returned


def query_kind(tensors: Tensors, *more: str) -> str | None:
    """`facts`, `probe` or one of `more`; None if the request is ordinary work."""
    if "ask" not in tensors:
        return None
    kind = json_text.text("ask", tensors["ask"])
    kinds = ("facts", "probe", *more)
    if kind not in kinds:
        raise invalid("ask", f"must be {' or '.join(map(json.dumps, kinds))}, not {kind[:64]!r}")
    if kind == "probe" and "known" not in tensors:
        raise invalid("known", "must come with a probe: any numbers, which will be returned")
    if "known" in tensors and tensors["known"].numel() > MOST_KNOWN:
        raise invalid("known", f"must be at most {MOST_KNOWN} numbers, not {tensors['known'].numel()}")
    return kind


def answer(facts: dict, tensors: Tensors) -> Tensors:
    """The outputs of a query."""
    outputs = {"facts": json_text.to_tensor(facts)}
    return {**outputs, "known": tensors["known"]} if "known" in tensors else outputs
