"""Converts SAM 2 as it is published: a checkpoint with the network's own names, and a separate config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle
from services.bundles.convert.bundle_writer import new_bundle, write_tensors
from services.bundles.convert.checkpoint import tensors
from services.bundles.errors import BundleError
from services.bundles.published_configs import SAM2, sam2_config


def convert(
    checkpoint: Path, to: Path, *, dtype: torch.dtype | None = None, config: Path | None = None
) -> Bundle:
    """Convert a checkpoint into the bundle `to`.

    `config` is a model config of sam2; without one, the published size with these tensors is used.
    `dtype` None keeps the stored number type.
    """
    from omegaconf import OmegaConf

    stored = tensors(checkpoint, inside="model")
    content = _read(config) if config is not None else _matching_config(stored)
    with new_bundle(to) as part:
        OmegaConf.save(OmegaConf.create(content), part / "config.yaml")
        write_tensors(
            part / "model.safetensors",
            {name: value if dtype is None else value.to(dtype) for name, value in stored.items()},
        )
    return Bundle.open(to)


def _read(config: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if not config.is_file():
        raise BundleError(f"no model config at {config}")
    content: Any = OmegaConf.to_container(OmegaConf.load(config), resolve=False)
    return content


def _matching_config(stored: Mapping[str, Tensor]) -> dict[str, Any]:
    """The first published config whose network has exactly these tensors."""
    shapes = {name: value.shape for name, value in stored.items()}
    for name in SAM2:
        content = sam2_config(name)
        network = build_on_meta("sam", content).state_dict()
        if {key: value.shape for key, value in network.items()} == shapes:
            return content
    raise BundleError(
        f"these are the weights of none of {', '.join(SAM2)}; name their model config by --config"
    )
