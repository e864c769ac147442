"""Writes trained networks as fp16 safetensors in the published layout."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, __version__
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel

RECORD, NOTES = "training.json", "intarsia.json"


def write_network(network: nn.Module, folder: Path, record: dict) -> None:
    """Write a diffusers or transformers network, and the record of its training beside it."""
    network = copy.deepcopy(network).to("cpu", torch.float16)
    network.save_pretrained(folder, safe_serialization=True)
    write_record(folder, record)


def write_text_encoder(encoder: CLIPTextModel, folder: Path, record: dict) -> None:
    """Write a text encoder under the names of published ones, which begin with `text_model.`"""
    write_network(encoder, folder, record)
    file = folder / "model.safetensors"
    state = {
        f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in load_file(file).items()
    }
    save_file(state, file, metadata={"format": "pt"})


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file in float32."""
    return {name: tensor.float() for name, tensor in load_file(file).items()}


def write_record(folder: Path, record: dict) -> None:
    """Write the record of a training; one that began with trained weights holds their record, too."""
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def write_defaults(folder: Path, **defaults: float) -> None:
    """Write the recommended settings of a bundle; its working sizes are listed once they are measured."""
    write_notes(folder, {**read_notes(folder), "defaults": defaults})


def read_notes(folder: Path) -> dict:
    """The notes of a bundle about its use; may be empty."""
    file = folder / NOTES
    return json.loads(file.read_text()) if file.exists() else {}


def write_notes(folder: Path, notes: dict) -> None:
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n")


def earlier(folder: Path, warm: bool) -> dict:
    """The record of the weights that a warm training began with, to be added to its own record."""
    file = folder / RECORD
    return {"earlier": json.loads(file.read_text())} if warm and file.exists() else {}


def write_index(folder: Path, pipeline: str) -> None:
    """Write the `model_index.json` that names a bundle's pipeline and the classes of its parts."""
    parts = {
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    absent = {
        "feature_extractor": [None, None],
        "safety_checker": [None, None],
        "image_encoder": [None, None],
    }
    index = {
        "_class_name": pipeline,
        "_diffusers_version": __version__,
        "requires_safety_checker": False,
        **absent,
        **parts,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def read_vae(folder: Path) -> AutoencoderKL:
    """A frozen autoencoder in float32."""
    return AutoencoderKL.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
