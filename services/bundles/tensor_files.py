"""Tensors in safetensors files: their names, shapes and types, and reading them one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from services.bundles.errors import BundleError

# In the order of search; published folders use all of these names.
FILES = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
)
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True)
class StoredTensor:
    """One tensor: its file, its shape, and its type as safetensors names it, for example `F16`."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a component, one or all shards; an empty list if there is none."""
    for name in FILES:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            return _shards(index)
    return []


def stored_tensors(files: list[Path]) -> dict[str, StoredTensor]:
    """The tensors that the headers of these files list, by name."""
    found: dict[str, StoredTensor] = {}
    for file in files:
        with _opened(file) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                view = tensors.get_slice(name)
                found[name] = StoredTensor(file, tuple(view.get_shape()), view.get_dtype())
    return found


def read(
    stored: dict[str, StoredTensor], wanted: dict[str, str], convert: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Tensors by the network's names (`wanted`: its name -> the stored name).

    They are read and passed through `convert` one at a time, so the peak is the network plus one tensor.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in dict.fromkeys(stored[source].file for source in wanted.values()):
        with _opened(file) as opened:
            for name, source in wanted.items():
                if stored[source].file == file:
                    tensors[name] = convert(opened.get_tensor(source))
    return tensors


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        raise BundleError(f"{index} is not an index of shards: {problem!r}") from problem
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise BundleError(f"{index} names {name!r}; a shard is a .safetensors file beside its index")
        if not (index.parent / name).is_file():
            raise BundleError(
                f"{index.parent / name} is missing although {index.name} names it; copy it again"
            )
    return [index.parent / name for name in names]


@contextmanager
def _opened(file: Path) -> Iterator:
    try:
        opened = safe_open(file, framework="pt")
    except (SafetensorError, OSError) as problem:
        raise BundleError(f"{file} cannot be read: {problem}; copy or convert it again") from problem
    with opened as tensors:
        yield tensors
