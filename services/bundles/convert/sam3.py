"""Converts SAM 3 as transformers publishes it, or as its authors do.

Both have a detector for pictures and a tracker for clips in one file. Only the detector becomes a text head;
its tensors have a prefix of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import PREPROCESSOR, Bundle, read_json
from services.bundles.convert.bundle_writer import copy_tokenizer, new_component, write_json, write_tensors
from services.bundles.convert.checkpoint import tensors
from services.bundles.convert.sam3_checkpoint import translated
from services.bundles.errors import BundleError
from services.bundles.inventory import compare
from services.bundles.tensor_files import read, stored_tensors, weight_files

HEAD = "text_head"
DETECTOR, TRACKER = "detector_model.", ("tracker_model.", "tracker_neck.")
GREY = [0.5, 0.5, 0.5]
ORIGINAL = (".pt", ".pth", ".ckpt")
_Reader = Callable[[Callable[[Tensor], Tensor]], dict[str, Tensor]]


def convert(
    source: Path,
    to: Path,
    *,
    tokenizer: Path | None = None,
    dtype: torch.dtype | None = None,
    config: Path | None = None,
) -> Bundle:
    """Write the text head to `to`, the folder `text_head` of the bundle `sam`; returns that bundle.

    `source` is the folder that transformers publishes, its safetensors file, or the .pt file of the authors.
    `tokenizer` and `config` are searched beside the weights unless they are named; without a config, the
    published size is assumed. `dtype` None keeps the stored number type.
    """
    if to.name != HEAD:
        raise BundleError(f"--to must be the folder {HEAD} of the bundle sam, not {to}")
    folder = source if source.is_dir() else source.parent
    settings = _settings(config or folder / "config.json", wanted=config is not None)
    network: Any = build_on_meta(HEAD, settings)
    original = source.suffix in ORIGINAL

    def cast(tensor: Tensor) -> Tensor:
        return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)

    found = _original(source, network) if original else _published(source, network)
    with new_component(to) as part:
        write_json(part / "config.json", settings)
        write_json(part / PREPROCESSOR, _preprocessor(folder, int(network.config.image_size)))
        copy_tokenizer(tokenizer or folder, part)
        write_tensors(part / "model.safetensors", found(cast))
    return Bundle.open(to.parent)


def _original(source: Path, network: nn.Module) -> _Reader:
    """Reads the file of its authors."""
    stored = translated(tensors(source, inside="model"), network.state_dict())
    return lambda cast: {name: cast(value) for name, value in stored.items()}


def _published(source: Path, network: nn.Module) -> _Reader:
    """Reads the folder, or the file, of transformers."""
    stored = stored_tensors(_files(source))
    ours = {name.removeprefix(DETECTOR): name for name in stored if not name.startswith(TRACKER)}
    inventory = compare(HEAD, network, {name: stored[there] for name, there in ours.items()})
    if not inventory.sound:
        raise BundleError(f"{source} does not hold SAM 3 as transformers publishes it; {inventory}")
    return lambda cast: read(stored, {name: ours[there] for name, there in inventory.pairs.items()}, cast)


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        files = weight_files(source)
        if not files:
            raise BundleError(f"no safetensors weights in {source}; download model.safetensors too")
        return files
    if source.suffix != ".safetensors":
        raise BundleError(f"{source} is no folder and no .safetensors or .pt file; others are not read")
    if not source.is_file():
        raise BundleError(f"no checkpoint at {source}")
    return [source]


def _settings(file: Path, *, wanted: bool) -> dict[str, Any]:
    """The config of the detector; of the published size if there is no file."""
    content: dict[str, Any] = {}
    if file.is_file():
        content = read_json(file)
        content = content.get("detector_config", content)
    elif wanted:
        raise BundleError(f"no config at {file}")
    return {**content, "architectures": ["Sam3Model"], "model_type": "sam3"}


def _preprocessor(folder: Path, size: int) -> dict[str, Any]:
    """The preprocessor settings of the published network; older publications have them in another file."""
    for name, inside in ((PREPROCESSOR, None), ("processor_config.json", "image_processor")):
        if (folder / name).is_file():
            content = read_json(folder / name)
            found = content.get(inside) if inside else content
            if isinstance(found, dict):
                return found
    return {"size": {"height": size, "width": size}, "image_mean": GREY, "image_std": GREY}
