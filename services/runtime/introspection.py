"""Questions every model answers beside its work; some models answer more.

`ask` = "facts" tells what is loaded, so that nobody else needs a copy of the configuration. `ask` =
"probe" does a small piece of real work and sends `known` back: a model that answers a probe is alive
through and through, and numbers that come back changed give away a broken crossing.
"""

from __future__ import annotations

import json

from services import json_text
from services.refusal import invalid
from services.runtime.tensors import Tensors

INPUTS = ("ask", "known")
MOST_KNOWN = 4096  # numbers sent back


def question(tensors: Tensors, *more: str) -> str | None:
    """`facts`, `probe` or one of `more`; None if the request is work."""
    if "ask" not in tensors:
        return None
    asked = json_text.text("ask", tensors["ask"])
    known = ("facts", "probe", *more)
    if asked not in known:
        raise invalid("ask", f"must be {' or '.join(map(json.dumps, known))}, not {asked[:64]!r}")
    if asked == "probe" and "known" not in tensors:
        raise invalid("known", "must come with a probe: any numbers, which will be sent back")
    if "known" in tensors and tensors["known"].numel() > MOST_KNOWN:
        raise invalid("known", f"must be at most {MOST_KNOWN} numbers, not {tensors['known'].numel()}")
    return asked


def answer(facts: dict, tensors: Tensors) -> Tensors:
    """The outputs that answer either question."""
    told = {"facts": json_text.to_tensor(facts)}
    return {**told, "known": tensors["known"]} if "known" in tensors else told
