"""Parses a safetensors file that was sent as bytes, and checks each tensor before it is used."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import torch
from safetensors import SafetensorError, deserialize
from torch import Tensor, nn

from services.bundles.errors import AdapterError

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,  # some write an alpha so
    "I32": torch.int32,
}
_LONGEST_HEADER = 16 << 20  # bytes; parsed, JSON may take a hundred times as much
_LONGEST = 300  # letters of any text quoted from a file


@dataclass(frozen=True, eq=False)
class TensorEntry:
    """A tensor as it lies in the file."""

    key: str
    shape: tuple[int, ...]
    type: str  # as safetensors names it, for example `F16`
    data: bytearray

    def __str__(self) -> str:
        return short(self.key)

    def numbers(self) -> Tensor:
        """As float32 on the host. There must be at least one."""
        if self.type not in _TYPES:
            raise AdapterError(f"stores {self} as {self.type}; numbers of {', '.join(_TYPES)} can be read")
        return torch.frombuffer(self.data, dtype=_TYPES[self.type]).reshape(self.shape).float()

    def single(self) -> float:
        """The only number."""
        if math.prod(self.shape) != 1:
            raise AdapterError(f"holds {self} shaped {list(self.shape)}; a single number is wanted")
        value = float(self.numbers())
        if not math.isfinite(value):
            raise AdapterError(f"holds {self} = {value}; a finite number is wanted")
        return value

    def like(self, layer: nn.Module, numbers: Tensor) -> Tensor:
        """Numbers made from its own, on the device and in the number type of a layer."""
        own: Tensor = layer.weight  # type: ignore[assignment]
        there = numbers.to(device=own.device, dtype=own.dtype)
        if not bool(torch.isfinite(there).all()):
            raise AdapterError(f"holds numbers in {self} that are not finite in {own.dtype}")
        return there

    def must_be(self, shape: tuple[int, ...]) -> None:
        """Raises AdapterError unless it has this shape."""
        if self.shape != shape:
            raise AdapterError(
                f"holds {self} shaped {list(self.shape)}, but {list(shape)} is wanted here; it was made for "
                "another network"
            )


def parse(content: Tensor) -> tuple[list[TensorEntry], dict[str, str]]:
    """The tensors in the bytes of a file (UINT8), by rising key, and the file's own metadata."""
    data = content.numpy().tobytes()
    header = int.from_bytes(data[:8], "little")
    if _LONGEST_HEADER < header < len(data):
        raise AdapterError(f"has a header of {header} bytes; at most {_LONGEST_HEADER} are read")
    try:
        found = deserialize(data)
    except SafetensorError as problem:
        raise AdapterError(
            f"is not a whole safetensors file ({short(str(problem))}); save it as safetensors and send all "
            "of it"
        ) from problem
    metadata = json.loads(data[8 : 8 + header]).get("__metadata__") or {}
    entries = [TensorEntry(key, tuple(view["shape"]), view["dtype"], view["data"]) for key, view in found]
    return sorted(entries, key=lambda entry: entry.key), metadata


def short(words: str) -> str:
    """Text of a file, cut to a length that can be reported."""
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
