"""Bundles being written: complete or not there at all."""

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

from services.weights.fault import BundleError
from services.weights.verify import verify


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """A place to write a bundle in; it gets its name once it is whole and has been verified."""
    if folder.exists():
        raise BundleError(f"{folder} exists; remove it, or choose another place with --to")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        report = verify(part)
        if not report.sound:
            raise BundleError(f"the conversion came out wrong: {report}")
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Readable for everyone who may read the folder: the writer of safetensors keeps files to their owner."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"}
    )
    file.chmod(0o644)
