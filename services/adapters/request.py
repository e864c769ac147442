"""Which adapters a request wears: [{"key": "<SHA-256 of the file, hexadecimal>", "strength": 1.0}, ...]"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from services import json_text
from services.adapters.cache import Worn
from services.refusal import invalid

MOST = 4
STRONGEST = 4.0
_KEY = re.compile(r"[0-9a-f]{64}")


def worn(tensors: Mapping[str, Tensor]) -> tuple[Worn, ...]:
    """What the tensor `adapters` says, in the order of the keys; one of strength 0 is not worn at all."""
    if "adapters" not in tensors:
        return ()
    said = json_text.from_tensor("adapters", tensors["adapters"])
    if not isinstance(said, list) or len(said) > MOST:
        raise invalid("adapters", f"must be a JSON list of at most {MOST}")
    found = [_one(f"adapters[{index}]", one) for index, one in enumerate(said)]
    if len({one.key for one in found}) < len(found):
        raise invalid("adapters", "name the same key twice; name it once, with the strength it should have")
    return tuple(sorted(one for one in found if one.strength))


def _one(name: str, said: Any) -> Worn:
    if not isinstance(said, dict) or not {"key"} <= said.keys() <= {"key", "strength"}:
        raise invalid(name, 'must be a JSON object with "key" and, if it is not to be 1, "strength"')
    key, strength = said["key"], said.get("strength", 1.0)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise invalid(f"{name}.key", "must be the SHA-256 of the adapter's file, 64 small hexadecimal digits")
    number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
    if not number or not -STRONGEST <= strength <= STRONGEST:
        raise invalid(f"{name}.strength", f"must be a number in [{-STRONGEST:g}, {STRONGEST:g}]")
    return Worn(key, float(strength))
