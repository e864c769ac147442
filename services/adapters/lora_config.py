"""The scale with which a LoRA was trained.

The output of its two matrices is multiplied by alpha over rank. Where no alpha is stored beside the matrices,
it may be in the file's metadata, where diffusers writes peft's config as `lora_adapter_metadata`; otherwise
alpha is the rank.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.bundles.errors import AdapterError

METADATA = "lora_adapter_metadata"
_PLAIN = re.compile(r"\^?(?P<layer>[\w.]+)")


@dataclass(frozen=True)
class LoraConfig:
    """The part of peft's config that matters once the matrices are there."""

    alpha: float | None = None
    by_layer: Mapping[str, float] = field(default_factory=dict)  # a layer's name, or the end of one
    stabilised: bool = False  # alpha counts over the root of the rank

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> LoraConfig:
        """The config in a file's metadata; raises AdapterError if it cannot be read."""
        if METADATA not in metadata:
            return cls()
        try:
            config = json.loads(metadata[METADATA])
        except (ValueError, RecursionError) as problem:
            raise AdapterError(f"has metadata {METADATA} that is not JSON; save it again") from problem
        if not isinstance(config, dict):
            raise AdapterError(f"has metadata {METADATA} that is not a JSON object; save it again")
        # In a file for a whole pipeline every name begins with the network it is for.
        config = {name.removeprefix("unet."): value for name, value in config.items()}
        alpha, patterns = config.get("lora_alpha"), config.get("alpha_pattern") or {}
        if config.get("use_dora"):
            raise AdapterError(f"is a DoRA by its metadata {METADATA}; only plain LoRA can be read")
        if not isinstance(patterns, dict):
            raise AdapterError(f"has metadata {METADATA} whose alpha_pattern is not a JSON object")
        return cls(
            alpha=None if alpha is None else _number("lora_alpha", alpha),
            by_layer={
                _layer(pattern): _number("alpha_pattern", value) for pattern, value in patterns.items()
            },
            stabilised=bool(config.get("use_rslora")),
        )

    def scale(self, layer: str, rank: int, alpha: float | None = None) -> float:
        """The factor of the matrices' output in this layer; `alpha` is the one stored beside them."""
        if alpha is None:
            own = (value for name, value in self.by_layer.items() if f".{layer}".endswith(f".{name}"))
            alpha = next(own, self.alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.stabilised else rank)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise AdapterError(f"has metadata {METADATA} whose {name} holds {str(value)[:64]}, which is no alpha")
    return float(value)


def _layer(pattern: str) -> str:
    plain = _PLAIN.fullmatch(pattern)
    if plain is None:
        raise AdapterError(
            f"has metadata {METADATA} whose alpha_pattern holds {pattern[:64]!r}; it must hold layers' names"
        )
    return plain["layer"]
