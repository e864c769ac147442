"""Reads published checkpoint files: one pickle or safetensors file that holds everything."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from services.bundles.errors import BundleError

# Some training programs left the name of one of their classes in the file, as a key beside the weights.
_IGNORED_CLASSES = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)


class _IgnoredClass:
    """Takes the place of a class that a checkpoint names and that is not needed."""


def tensors(file: Path, *, inside: str) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by name.

    `inside` is the key that usually holds the weights. A pickle is read with PyTorch's restricted reader
    only: a file that would run code is rejected.
    """
    if not file.is_file():
        raise BundleError(f"no checkpoint at {file}")
    content = _safetensors(file) if file.suffix == ".safetensors" else _pickle(file)
    content = content.get(inside, content)
    found = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not found:
        raise BundleError(f"{file} holds no tensors, neither at its top nor under {inside!r}")
    return found


def _safetensors(file: Path) -> dict:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as problem:
        raise BundleError(f"{file} cannot be read: {problem}") from problem


def _pickle(file: Path) -> dict:
    known: list[Any] = [(_IgnoredClass, name) for name in _IGNORED_CLASSES]
    mapped = zipfile.is_zipfile(file)  # files of the older format cannot be mapped into memory
    try:
        with torch.serialization.safe_globals(known):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as problem:
        raise BundleError(
            f"{file} is not read: it holds more than weights, or is damaged. If you trust it, save its "
            f"state dict alone, or as .safetensors, and convert that. PyTorch says: {problem}"
        ) from problem
    except (RuntimeError, OSError, EOFError, ValueError) as problem:
        raise BundleError(f"{file} is no checkpoint, or it is damaged: {problem}") from problem
    if not isinstance(content, dict):
        raise BundleError(f"{file} holds {type(content).__name__}, not weights by name")
    return content
