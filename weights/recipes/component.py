"""Components: a trained network written as fp16 safetensors in the published layout."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from torch import nn

RECORD = "training.json"


def keep(network: nn.Module, folder: Path, record: dict) -> None:
    """Write a diffusers or transformers network, and the record of its course beside it."""
    copy.deepcopy(network).to("cpu", torch.float16).save_pretrained(folder, safe_serialization=True)
    write_record(folder, record)


def write_record(folder: Path, record: dict) -> None:
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")
