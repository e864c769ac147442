"""SAM 3 as transformers publishes it: one file for finding in pictures and following through clips.

Finding alone makes a text head; its tensors lie under a name of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.bundles.architectures import hollow
from services.bundles.bundle import PREPROCESSOR, Bundle, read_json
from services.bundles.convert.writing import copy_tokenizer, new_component, write_json, write_tensors
from services.bundles.errors import BundleError
from services.bundles.inventory import take
from services.bundles.tensor_files import entries, read, weight_files

HEAD = "text_head"
FINDING, FOLLOWING = "detector_model.", ("tracker_model.", "tracker_neck.")
GREY = [0.5, 0.5, 0.5]


def convert(
    source: Path,
    to: Path,
    *,
    tokenizer: Path | None = None,
    dtype: torch.dtype | None = None,
    config: Path | None = None,
) -> Bundle:
    """Make the text head `to`, a folder named so in the bundle `sam`; gives that bundle.

    `source` is the published folder, or its safetensors file. `tokenizer` and `config` are looked for beside
    the weights unless they are named; without any config the published size is taken. `dtype` None keeps
    numbers as they are stored.
    """
    if to.name != HEAD:
        raise BundleError(f"--to must be the folder {HEAD} of the bundle sam, not {to}")
    folder, files = _located(source)
    settings = _settings(config or folder / "config.json", wanted=config is not None)
    network: Any = hollow(HEAD, settings)
    stored = entries(files)
    ours = {name.removeprefix(FINDING): name for name in stored if not name.startswith(FOLLOWING)}
    inventory = take(HEAD, network, {name: stored[there] for name, there in ours.items()})
    if not inventory.sound:
        raise BundleError(f"{source} does not hold SAM 3 as transformers publishes it; {inventory}")

    def cast(tensor: Tensor) -> Tensor:
        return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)

    with new_component(to) as part:
        write_json(part / "config.json", settings)
        write_json(part / PREPROCESSOR, _preprocessor(folder, int(network.config.image_size)))
        copy_tokenizer(tokenizer or folder, part)
        found = read(stored, {name: ours[there] for name, there in inventory.pairs.items()}, cast)
        write_tensors(part / "model.safetensors", found)
    return Bundle.open(to.parent)


def _located(source: Path) -> tuple[Path, list[Path]]:
    """The published folder, and the files of its weights."""
    if source.is_dir():
        files = weight_files(source)
        if not files:
            raise BundleError(f"no safetensors weights in {source}; download model.safetensors too")
        return source, files
    if source.suffix != ".safetensors":
        raise BundleError(f"{source} is no folder and no .safetensors file; others are not read")
    if not source.is_file():
        raise BundleError(f"no checkpoint at {source}")
    return source.parent, [source]


def _settings(file: Path, *, wanted: bool) -> dict[str, Any]:
    """The config of the network that finds; of the published size where there is no file."""
    content: dict[str, Any] = {}
    if file.is_file():
        content = read_json(file)
        content = content.get("detector_config", content)
    elif wanted:
        raise BundleError(f"no config at {file}")
    return {**content, "architectures": ["Sam3Model"], "model_type": "sam3"}


def _preprocessor(folder: Path, size: int) -> dict[str, Any]:
    """How the published network sees; older publications say so in a file of its own."""
    for name, inside in ((PREPROCESSOR, None), ("processor_config.json", "image_processor")):
        if (folder / name).is_file():
            content = read_json(folder / name)
            found = content.get(inside) if inside else content
            if isinstance(found, dict):
                return found
    return {"size": {"height": size, "width": size}, "image_mean": GREY, "image_std": GREY}
