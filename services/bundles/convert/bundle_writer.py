"""Writes bundles atomically: complete, or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from services.bundles.bundle import Bundle
from services.bundles.errors import BundleError
from services.bundles.verify import verify

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """A temporary folder to write a bundle in; it is renamed to `folder` after it was verified."""
    with _verified(folder) as part:
        yield part


@contextmanager
def new_component(folder: Path) -> Iterator[Path]:
    """The same for one component, in the folder that it has in its bundle: `sam/text_head`."""
    with _verified(folder, inside=folder.name) as part:
        yield part


@contextmanager
def _verified(folder: Path, inside: str = "") -> Iterator[Path]:
    """An empty temporary bundle, or the folder `inside` it that becomes `folder`."""
    if folder.exists():
        raise BundleError(f"{folder} exists; remove it, or choose another folder with --to")
    bundle = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(bundle, ignore_errors=True)
    part = bundle / inside
    part.mkdir(parents=True)
    try:
        yield part
        report = verify(bundle)
        if not report.sound:
            raise BundleError(f"the conversion came out wrong: {report}")
        os.replace(part, folder)
    finally:
        shutil.rmtree(bundle, ignore_errors=True)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a CLIP tokenizer, of which two must be there."""
    for name in TOKENIZER_FILES[:2]:
        if not (source / name).is_file():
            raise BundleError(f"{source / name} is missing: --tokenizer names the folder of a CLIP tokenizer")
    target.mkdir(exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def write_settings(plan: Bundle, part: Path, *, tokenizer: Path) -> None:
    """Write what a bundle has beside its networks: the files of the folder `tokenizer`, and the settings
    of `plan`, a bundle of configs, whose tokenizer settings take precedence."""
    copy_tokenizer(tokenizer, part / "tokenizer")
    settings = plan.folder / "tokenizer" / "tokenizer_config.json"
    if settings.is_file():
        shutil.copyfile(settings, part / "tokenizer" / settings.name)
        (part / "tokenizer" / "special_tokens_map.json").unlink(missing_ok=True)  # may contradict it
    write_json(part / "scheduler" / "scheduler_config.json", plan.scheduler_config())
    for name in ("model_index.json", "intarsia.json"):
        if (plan.folder / name).is_file():
            shutil.copyfile(plan.folder / name, part / name)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, readable for everyone (safetensors itself writes it for the owner only)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )
    file.chmod(0o644)
