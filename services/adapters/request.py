"""Adapters that a request uses: [{"key": "<SHA-256 of the file, hexadecimal>", "strength": 1.0}, ...]"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from services import json_text
from services.adapters.cache import AdapterUse
from services.refusal import invalid

MOST = 4
STRONGEST = 4.0
_KEY = re.compile(r"[0-9a-f]{64}")


def read_uses(tensors: Mapping[str, Tensor]) -> tuple[AdapterUse, ...]:
    """The adapters in the tensor `adapters`, by rising key; those of strength 0 are left out."""
    if "adapters" not in tensors:
        return ()
    values = json_text.from_tensor("adapters", tensors["adapters"])
    if not isinstance(values, list) or len(values) > MOST:
        raise invalid("adapters", f"must be a JSON list of at most {MOST}")
    uses = [_read_use(f"adapters[{index}]", value) for index, value in enumerate(values)]
    if len({use.key for use in uses}) < len(uses):
        raise invalid("adapters", "name the same key twice; name it once, with the strength it should have")
    return tuple(sorted(use for use in uses if use.strength))


def _read_use(name: str, value: Any) -> AdapterUse:
    if not isinstance(value, dict) or not {"key"} <= value.keys() <= {"key", "strength"}:
        raise invalid(name, 'must be a JSON object with "key" and, if it is not to be 1, "strength"')
    key, strength = value["key"], value.get("strength", 1.0)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise invalid(f"{name}.key", "must be the SHA-256 of the adapter's file, 64 small hexadecimal digits")
    number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
    if not number or not -STRONGEST <= strength <= STRONGEST:
        raise invalid(f"{name}.strength", f"must be a number in [{-STRONGEST:g}, {STRONGEST:g}]")
    return AdapterUse(key, float(strength))
