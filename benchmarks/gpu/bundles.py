"""Random bundles of full size: InstructPix2Pix with its autoencoder and text encoder, and SAM 2.1 large.

They have the published configs and load like published weights. Their numbers keep the size of what passes
through them about as it is, so that nothing overflows in half precision.
"""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.published_configs import IP2P, sam2_config
from training.tiny import vocabulary

SAM = "sam2.1_hiera_l"
TOKENS = 77
_PRESENT = 3.0  # the bias of SAM's opinion whether the object is there: random ones would lose it at once


def write(parent: Path, device: torch.device, seed: int = 0) -> Path:
    """Writes `ip2p` and `sam` into a folder below this one, unless this code did so before; returns it.

    The numbers are drawn on the device.
    """
    recipe = zlib.crc32(Path(__file__).read_bytes())
    folder = parent / f"full-size-{recipe:08x}-{seed}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(folder.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    rng = torch.Generator(device).manual_seed(seed)
    shutil.copytree(IP2P, unfinished / "ip2p")
    for component in ("unet", "vae", "text_encoder"):
        part = unfinished / "ip2p" / component
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        _save(random_tensors(build_on_meta(component, config), rng), part)
    vocabulary.write(unfinished / "ip2p" / "tokenizer", TOKENS)
    _write_sam(unfinished / "sam", rng)
    unfinished.rename(folder)
    return folder


def _write_sam(folder: Path, rng: torch.Generator) -> None:
    from omegaconf import OmegaConf

    config = sam2_config(SAM)
    network: Any = build_on_meta("sam", config)
    tensors = random_tensors(network, rng)
    presence = len(network.sam_mask_decoder.pred_obj_score_head.layers) - 1
    tensors[f"sam_mask_decoder.pred_obj_score_head.layers.{presence}.bias"].fill_(_PRESENT)
    folder.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    _save(tensors, folder)


def random_tensors(network: torch.nn.Module, rng: torch.Generator) -> dict[str, Tensor]:
    """A value in half precision for every tensor of a network without weights."""
    return {name: _value(name, tensor, rng) for name, tensor in network.state_dict().items()}


def _value(name: str, tensor: Tensor, rng: torch.Generator) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    if tensor.device.type != "meta":  # what the network computes itself
        return tensor.half().contiguous()
    if tensor.ndim < 2:  # scales of norms, and biases
        fill = torch.ones if name.endswith("weight") else torch.zeros
        return fill(tensor.shape, dtype=torch.float16, device=rng.device)
    inputs = tensor.numel() / tensor.shape[0]
    values = torch.randn(tensor.shape, generator=rng, device=rng.device, dtype=torch.float16)
    return values / inputs**0.5


def _save(tensors: dict[str, Tensor], folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({key: tensor.cpu() for key, tensor in tensors.items()}, folder / "model.safetensors")
