"""Reads an adapter from a file of few weights, and validates it against the network it is for.

The file is safetensors; nothing is unpickled. It holds LoRA (two thin matrices for a layer), some of the
network's own weights trained further, or both. What belongs to no layer of the network is counted and left
out; what does not fit its layer is an error, since a picture made without it would be wrong unnoticed.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from services.adapters.delta import Delta, LowRank, Shift, takes_deltas
from services.adapters.keys import KeyParser, ParsedKey, is_foreign
from services.adapters.lora_config import LoraConfig
from services.adapters.safetensors_bytes import TensorEntry, parse, short
from services.bundles.errors import AdapterError

__all__ = ["Adapter", "AdapterError", "digest_of", "read"]

_REPORTED = 32  # unexpected keys, and entries of the file's own metadata
_PART_NAMES = {"down": "lora_A or lora_down", "up": "lora_B or lora_up"}


@dataclass(frozen=True, eq=False)
class Adapter:
    """Deltas for the layers of a network, in its number type and on its device."""

    key: str  # SHA-256 of the file, hexadecimal
    report: Mapping[str, Any]  # facts about it, in plain values
    deltas: Mapping[str, tuple[Delta, ...]]  # by the layer's name

    @cached_property
    def nbytes(self) -> int:
        return sum(delta.nbytes for deltas in self.deltas.values() for delta in deltas)


def digest_of(content: Tensor) -> str:
    """The key of an adapter: SHA-256 of its file's bytes, in hexadecimal."""
    return hashlib.sha256(content.numpy().data).hexdigest()


def read(content: Tensor, network: nn.Module, *, weights: str) -> Adapter:
    """The adapter in a file's bytes (UINT8), for a network whose weights have the digest `weights`.

    Raises AdapterError. The network is not changed.
    """
    entries, metadata = parse(content)
    modules = dict(network.named_modules())
    parser = KeyParser(modules)
    parsed = {entry.key: parser.parse(entry.key) for entry in entries}
    parts, unexpected = _by_layer(entries, parsed, modules)
    if not parts:
        raise AdapterError(_nothing_fits(parsed, modules))
    config = LoraConfig.of(metadata)
    deltas = {name: _deltas(name, modules[name], held, config) for name, held in parts.items()}
    fitting = [entry for held in parts.values() for entry in held.values()]
    ranks = [held["down"].shape[0] for held in parts.values() if "down" in held]
    key = digest_of(content)
    report = {
        "key": key,
        "kind": "lora" if ranks else "weights",
        "layout": _layout(parsed[entry.key] for entry in fitting),
        "rank": max(ranks, default=0),
        "matched": len(deltas),
        "unexpected": [short(name) for name in unexpected[:_REPORTED]],
        "unexpected_count": len(unexpected),
        "parameters": sum(math.prod(entry.shape) for entry in fitting),
        "weights": weights,
        "metadata": {short(name): short(value) for name, value in sorted(metadata.items())[:_REPORTED]},
    }
    return Adapter(key, report, deltas)


def _by_layer(
    entries: list[TensorEntry], parsed: Mapping[str, ParsedKey | None], modules: Mapping[str, nn.Module]
) -> tuple[dict[str, dict[str, TensorEntry]], list[str]]:
    """The parts for each layer, by their names, and the keys that name no layer of the network."""
    parts: dict[str, dict[str, TensorEntry]] = {}
    unexpected: list[str] = []
    for entry in entries:
        if is_foreign(entry.key):
            raise AdapterError(
                f"holds {entry}, but only plain LoRA and a network's own weights can be read, not DoRA, "
                "LoHa, LoKr, Tucker or LoRA with a bias"
            )
        key = parsed[entry.key]
        if key is None or not _known(key, modules):
            unexpected.append(entry.key)
            continue
        layer = modules[key.layer]
        if not takes_deltas(layer):
            raise AdapterError(
                f"holds {entry}, but {key.layer} is a {type(layer).__name__}; only linear layers and "
                "convolutions can be adapted"
            )
        twin = parts.setdefault(key.layer, {}).setdefault(key.part, entry)
        if twin is not entry:
            raise AdapterError(
                f"holds {twin} and {entry}, which are the same part of one layer; save each adapter to a "
                "file of its own"
            )
    return parts, unexpected


def _known(key: ParsedKey, modules: Mapping[str, nn.Module]) -> bool:
    """True if the network has what a key names."""
    layer = modules.get(key.layer)
    own = key.part in ("weight", "bias")
    return layer is not None and not (own and getattr(layer, key.part, None) is None)


def _deltas(
    name: str, layer: nn.Module, held: Mapping[str, TensorEntry], config: LoraConfig
) -> tuple[Delta, ...]:
    """The deltas that an adapter adds to one layer."""
    made: list[Delta] = []
    if held.keys() & {"down", "up", "alpha"}:
        made.append(_low_rank(name, layer, held, config))
    if held.keys() & {"weight", "bias"}:
        made.append(Shift(_moved("weight", layer, held), _moved("bias", layer, held)))
    return tuple(made)


def _low_rank(name: str, layer: nn.Module, held: Mapping[str, TensorEntry], config: LoraConfig) -> LowRank:
    for part, names in _PART_NAMES.items():
        if part not in held:
            other = next(held[other] for other in ("down", "up", "alpha") if other in held)
            raise AdapterError(f"holds {other} without the {names} of the same layer; it was not saved whole")
    down, up = held["down"], held["up"]
    own: Tensor = layer.weight  # type: ignore[assignment]
    rank = max(down.shape[0], 1) if down.shape else 1
    down.must_be((rank, *own.shape[1:]))
    up.must_be((own.shape[0], rank, *(1 for _ in own.shape[2:])))
    alpha = held["alpha"].single() if "alpha" in held else None
    return LowRank(
        down=down.like(layer, down.numbers()),
        up=up.like(layer, up.numbers()),
        scale=config.scale(name, rank, alpha),
    )


def _moved(part: str, layer: nn.Module, held: Mapping[str, TensorEntry]) -> Tensor | None:
    """The difference of a weight or bias to the layer's own; None if the file does not hold it."""
    if part not in held:
        return None
    own: Tensor = getattr(layer, part).detach()
    held[part].must_be(tuple(own.shape))
    return held[part].like(layer, held[part].numbers().to(own.device) - own.float())


def _layout(parsed: Iterable[ParsedKey | None]) -> str | None:
    """The layout of most keys."""
    seen = Counter(key.layout for key in parsed if key is not None)
    return max(seen, key=lambda layout: seen[layout], default=None)


def _nothing_fits(parsed: Mapping[str, ParsedKey | None], modules: Mapping[str, nn.Module]) -> str:
    if not parsed:
        return "holds no tensors at all; save it again"
    layout = _layout(parsed.values())
    key = next(key for key, one in parsed.items() if (one.layout if one else None) == layout)
    layer = next(name for name, module in modules.items() if takes_deltas(module))
    way = f"the {layout} way" if layout else "in no known way"
    return (
        f"holds nothing for this network: its keys are spelled {way}, for example {short(key)}, but layers "
        f"here have names like {layer}"
    )
