"""Copies of bundles with something changed about them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from services.bundles.bundle import Bundle

Tensors = dict[str, torch.Tensor]


def copied(bundle: Bundle, to: Path) -> Bundle:
    return Bundle.open(shutil.copytree(bundle.folder, to / bundle.name))


def weights_of(bundle: Bundle, component: str) -> Path:
    home = bundle.folder if component == "sam" else bundle.folder / component
    return next(iter(home.glob("*.safetensors")))


def with_tensors(bundle: Bundle, component: str, change: Callable[[Tensors], Tensors]) -> None:
    file = weights_of(bundle, component)
    save_file(change(load_file(file)), file)


def with_config(bundle: Bundle, component: str, **values: Any) -> None:
    file = bundle.folder / component / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
