"""A bundle: a folder that holds every network of one model family, in diffusers/transformers layout.

    ip2p/  model_index.json  intarsia.json
           unet/ vae/ text_encoder/   config.json and safetensors, whole or in shards
           tokenizer/ scheduler/
    sam/   config.yaml (sam2's model config) and model.safetensors
           text_head/   to find things by words: config.json, safetensors, tokenizer files and
                        preprocessor_config.json

Networks are built from their config and loaded strictly by name. Nothing is unpickled, nothing is fetched,
and only classes listed in `architectures` are built. Sizes are data: any size loads the same way.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from services.bundles import digest
from services.bundles.architectures import build_on_meta
from services.bundles.errors import BundleError
from services.bundles.inventory import Inventory, compare
from services.bundles.tensor_files import read, stored_tensors, weight_files

__all__ = ["Bundle", "BundleError", "open_bundles"]

NETWORKS = ("unet", "vae", "text_encoder", "text_head", "sam")
PREPROCESSOR = "preprocessor_config.json"
_NUMBER_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_LEAST, _MOST = 64, 2048  # pixels of a working size
REMEDY = (
    "make random ones with `python -m training.tiny FOLDER`, or published ones with `intarsia weights fetch`"
)


@dataclass(frozen=True)
class Bundle:
    """One bundle. `name` is its folder's name, and the name of its family to the services."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """The bundle in a folder; fails if there is none. Reads no weights."""
        bundle = cls(Path(folder).resolve())
        if not bundle.folder.is_dir():
            raise BundleError(f"no bundle at {folder}: there is no such folder; {REMEDY}")
        if not bundle.components:
            raise BundleError(
                f"{folder} is not a bundle: it has neither a config.yaml nor one of the folders "
                f"{', '.join(NETWORKS[:-1])} with a config.json; {REMEDY}"
            )
        return bundle

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The networks this bundle holds, for example ("unet", "vae", "text_encoder")."""
        return tuple(name for name in NETWORKS if self._config_file(name).is_file())

    def config(self, component: str) -> dict[str, Any]:
        """The config of a network as it was written."""
        file = self._config_file(component)
        if not file.is_file():
            raise BundleError(f"bundle {self.name} has no {component}: {file} is missing; {REMEDY}")
        return _yaml(file) if file.suffix == ".yaml" else read_json(file)

    def network(
        self, component: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> nn.Module:
        """A network in eval mode, without gradients, every tensor of it loaded from this bundle.

        Floating numbers of any stored type are converted to `dtype`. Tensors that are missing,
        unexpected or of a wrong shape are all named in one BundleError.
        """
        network = build_on_meta(component, self.config(component))
        stored = stored_tensors(self._weights(component))
        inventory = compare(component, network, stored)
        if not inventory.sound:
            raise BundleError(f"bundle {self.name}: {inventory}")
        tensors = read(stored, dict(inventory.pairs), lambda tensor: tensor.to(device, dtype))
        network.load_state_dict(tensors, strict=True, assign=True)
        nn.Module.to(network, device=device, dtype=dtype)  # buffers that were computed, not loaded
        return network.requires_grad_(False)

    def inventory(self, component: str) -> Inventory:
        """The comparison of the stored tensors with those of the config; no weights are read."""
        return compare(
            component,
            build_on_meta(component, self.config(component)),
            stored_tensors(self._weights(component)),
        )

    def tokenizer(self, component: str = "text_encoder") -> Any:
        """The tokenizer of the text encoder, or of the text head."""
        from transformers import CLIPTokenizer

        folder = self.folder / ("tokenizer" if component == "text_encoder" else component)
        if not folder.is_dir():
            raise BundleError(f"bundle {self.name} has no tokenizer: {folder} is missing; {REMEDY}")
        try:
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, TypeError) as problem:
            raise BundleError(
                f"bundle {self.name}: no tokenizer can be read from {folder}: {problem}"
            ) from problem

    def preprocessor(self) -> dict[str, Any]:
        """The text head's preprocessor_config.json as it was written: size, mean and deviation of colours."""
        file = self._folder("text_head") / PREPROCESSOR
        if not file.is_file():
            raise BundleError(f"bundle {self.name} has no preprocessor for its text_head: {file} is missing")
        return read_json(file)

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's config as it was written; `_class_name` says which."""
        file = self.folder / "scheduler" / "scheduler_config.json"
        if not file.is_file():
            raise BundleError(f"bundle {self.name} has no scheduler: {file} is missing; {REMEDY}")
        return read_json(file)

    @property
    def defaults(self) -> dict[str, Any]:
        """Recommended settings, for example {"steps": 10, "guidance": 2.5}; may be empty."""
        return dict(self._notes("intarsia.json").get("defaults", {}))

    @cached_property
    def sizes(self) -> dict[int, dict[str, float]]:
        """The working sizes, longer sides in pixels, at which the bundle is good, with figures that say how
        good; published bundles name the size they were made for. May be empty.

        In intarsia.json: {"sizes": {"128": {"recolour": 0.98}}}.
        """
        stored = self._notes("intarsia.json").get("sizes", {})
        wrong = [side for side in stored if not (side.isdecimal() and _LEAST <= int(side) <= _MOST)]
        if wrong:
            raise BundleError(
                f"bundle {self.name}: its sizes include {wrong[0]!r}, but a working size is a whole number "
                f"of pixels from {_LEAST} to {_MOST}"
            )
        return {int(side): dict(figures) for side, figures in stored.items()}

    @property
    def removal(self) -> float:
        """How well the bundle makes things go, in [0, 1]: of a thing's pixels, the share that comes nearer to
        the ground behind it. 0 if intarsia.json does not say: {"removal": 0.99}."""
        value = self._notes("intarsia.json").get("removal", 0.0)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BundleError(f"bundle {self.name}: its removal is {value!r}, but a share is in [0, 1]")
        return float(value)

    def number_type(self, device: torch.device) -> torch.dtype:
        """The number type of the networks on a device: float32 on a processor, float16 on a GPU.

        intarsia.json may name another for GPUs: {"dtype": "bfloat16"} for networks that overflow in float16.
        """
        if device.type != "cuda":
            return torch.float32
        name = self._notes("intarsia.json").get("dtype", "float16")
        if name not in _NUMBER_TYPES:
            raise BundleError(
                f"bundle {self.name}: its dtype is {name!r}, but only {', '.join(_NUMBER_TYPES)} are known"
            )
        return _NUMBER_TYPES[name]

    @property
    def card(self) -> dict[str, Any]:
        """The model card: origin, training, measured figures, limits; may be empty."""
        return self._notes("card.json")

    @property
    def licences(self) -> list[str]:
        """The terms of the weights and where they can be read, of the text head's too; may be empty."""
        found = [self._notes(name).get("licence") for name in ("intarsia.json", "text_head/intarsia.json")]
        only = "; academic use only"
        return [
            f"{licence['name']}; {licence['url']}{only if licence.get('academic_only') else ''}"
            for licence in found
            if licence
        ]

    @property
    def digest(self) -> str:
        """SHA-256 over the configs and weights of every network, in hexadecimal."""
        files = [file for name in self.components for file in self._files(name)]
        return digest.of_files(files, root=self.folder)

    def digest_of(self, component: str) -> str:
        """SHA-256 over one network's config and weights; equal for equal networks of two bundles."""
        return digest.of_files(self._files(component), root=self._folder(component))

    def size_bytes(self, component: str) -> int:
        """The size of a network's weight files."""
        return sum(file.stat().st_size for file in self._weights(component))

    def loaded_bytes(self, component: str, device: torch.device) -> int:
        """The size of a network's weights in this bundle's number type for a device. Reads no weights."""
        stored = stored_tensors(self._weights(component))
        return sum(math.prod(tensor.shape) for tensor in stored.values()) * self.number_type(device).itemsize

    def _folder(self, component: str) -> Path:
        return self.folder if component == "sam" else self.folder / component

    def _config_file(self, component: str) -> Path:
        return self._folder(component) / ("config.yaml" if component == "sam" else "config.json")

    def _files(self, component: str) -> list[Path]:
        preprocessor = self._folder(component) / PREPROCESSOR
        return [
            self._config_file(component),
            *([preprocessor] if preprocessor.is_file() else []),
            *self._weights(component),
        ]

    def _weights(self, component: str) -> list[Path]:
        files = weight_files(self._folder(component))
        if not files:
            raise BundleError(
                f"bundle {self.name} has no {component}: no safetensors weights in {self._folder(component)} "
                f"(.bin, .ckpt and .pt files are not read); {REMEDY}"
            )
        return files

    def _notes(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        return read_json(file) if file.is_file() else {}


def open_bundles(folder: str | Path) -> dict[str, Bundle]:
    """Every bundle of a folder by name; fails if there is no folder or nothing in it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError(f"no weights at {folder}: there is no such folder; {REMEDY}")
    # A name that begins with a dot is a bundle that is still being written.
    children = (child for child in sorted(folder.iterdir()) if child.is_dir() and child.name[0] != ".")
    candidates = (Bundle(child.resolve()) for child in children)
    found = {bundle.name: bundle for bundle in candidates if bundle.components}
    if not found:
        raise BundleError(f"no bundle in {folder}: it should hold folders such as ip2p and sam; {REMEDY}")
    return found


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BundleError(f"{file} is not JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise BundleError(f"{file} must hold a JSON object")
    return content


def _yaml(file: Path) -> dict[str, Any]:
    """Read as sam2 itself reads it: plain YAML would take 1e-6 for a string."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (OmegaConfBaseException, YAMLError, ValueError) as problem:
        raise BundleError(f"{file} is not a model config: {problem}") from problem
    if not isinstance(content, dict):
        raise BundleError(f"{file} must hold a mapping with `model:`")
    return {str(key): value for key, value in content.items()}
