"""Builds networks without weights from their configs, for the classes listed here and no others.

Their parameters are on the meta device, so building one is quick and takes no memory at any size. Buffers
that are computed rather than stored (positions, frequencies) are real.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from services.bundles.errors import BundleError

# The class of a component whose config does not name one.
ROLES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "sam": "sam2",
}


def class_name(component: str, config: Mapping[str, Any]) -> str:
    """The class that a config names, or the usual one of the component."""
    named = config.get("_class_name") or next(iter(config.get("architectures") or ()), None)
    name = named or ROLES.get(component, "")
    if name not in _BUILDERS:
        raise BundleError(
            f"{component}: no network class {name!r} is known here; known are {', '.join(sorted(_BUILDERS))}"
        )
    return name


def build_on_meta(component: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of a config, in eval mode, its parameters on the meta device."""
    build = _BUILDERS[class_name(component, config)]
    try:
        with _EmptyOnMeta():
            network = build(config)
    except BundleError:
        raise
    except Exception as problem:  # the config is a file from outside: any value in it may be wrong
        raise BundleError(f"{component}: no network can be built from this config: {problem!r}") from problem
    return network.eval().requires_grad_(False)


class _EmptyOnMeta(TorchFunctionMode):
    """Puts on the meta device what is allocated without a device, as layers allocate their parameters."""

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return function(*args, **kwargs)


def _unet(config: Mapping[str, Any]) -> nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_config(dict(config))


def _vae(config: Mapping[str, Any]) -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_config(dict(config))


def _clip_text(config: Mapping[str, Any]) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig.from_dict(dict(config)))


def _clip_seg(config: Mapping[str, Any]) -> nn.Module:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    return CLIPSegForImageSegmentation(CLIPSegConfig.from_dict(dict(config)))


def _sam3(config: Mapping[str, Any]) -> nn.Module:
    from transformers import Sam3Config, Sam3Model

    return Sam3Model(Sam3Config.from_dict(dict(config)))


def _sam2(config: Mapping[str, Any]) -> nn.Module:
    if not isinstance(config.get("model"), Mapping):
        raise BundleError("sam: config.yaml has no `model:`; sam2's own model configs show its shape")
    return _instance(config["model"])


def _instance(node: Any) -> Any:
    """The object of a `_target_` tree. Only network classes of sam2 are called, never functions."""
    if isinstance(node, list):
        return [_instance(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    arguments = {str(name): _instance(value) for name, value in node.items() if name != "_target_"}
    return _target(str(node["_target_"]))(**arguments) if "_target_" in node else arguments


def _target(path: str) -> type[nn.Module]:
    module, _, name = path.rpartition(".")
    found = None
    if module.startswith("sam2."):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as problem:
            raise BundleError(f"sam: _target_ {path!r} cannot be imported: {problem}") from problem
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise BundleError(f"sam: _target_ {path!r} is not a network class of the sam2 package")
    return found


_BUILDERS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "UNet2DConditionModel": _unet,
    "AutoencoderKL": _vae,
    "CLIPTextModel": _clip_text,
    "CLIPSegForImageSegmentation": _clip_seg,
    "Sam3Model": _sam3,
    "sam2": _sam2,
}
