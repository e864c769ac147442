"""Converts a checkpoint of the latent diffusion code (UNet, autoencoder, text encoder) into a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle
from services.bundles.convert import ldm
from services.bundles.convert.bundle_writer import new_bundle, write_json, write_settings, write_tensors
from services.bundles.convert.open_clip import CLIP
from services.bundles.errors import BundleError

UNET, AVERAGED = "model.diffusion_model.", "model_ema.diffusion_model"
VAE = "first_stage_model."
FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
COMPUTED = "embeddings.position_ids"  # computed, not learned


def bundle_of(
    stored: Mapping[str, Tensor], to: Path, *, tokenizer: Path, dtype: torch.dtype | None, config: Path
) -> Bundle:
    """Convert a checkpoint's tensors into the bundle `to`.

    `tokenizer` holds the files of the CLIP tokenizer, which a checkpoint lacks; `config` is a bundle of
    configs without weights, and its tokenizer settings take precedence; `dtype` None keeps the stored number
    type. Averaged weights of the UNet are taken if there are any.
    """
    plan = Bundle.open(config)
    with new_bundle(to) as part:
        for component, source in _sources(plan, stored).items():
            network = build_on_meta(component, plan.config(component)).state_dict()
            found = _tensors_of(component, network, stored, source)
            write_json(part / component / "config.json", plan.config(component))
            write_tensors(
                part / component / FILES[component],
                {_published_name(component, name): _cast(value, dtype) for name, value in found.items()},
            )
        write_settings(plan, part, tokenizer=tokenizer)
    return Bundle.open(to)


@dataclass(frozen=True)
class Source:
    """The tensors of a network in a checkpoint: names begin with `prefix`; `named` maps ours to them."""

    prefix: str
    named: Callable[[str], str]


def _sources(plan: Bundle, stored: Mapping[str, Tensor]) -> dict[str, Source]:
    unet, vae = ldm.unet(plan.config("unet")), ldm.vae(plan.config("vae"))
    if any(name.startswith(AVERAGED) for name in stored):
        # The averages were filed under the names of the parameters with the dots left out.
        diffusion = Source(AVERAGED, lambda name: AVERAGED + unet.source(name).replace(".", ""))
    else:
        diffusion = Source(UNET, lambda name: UNET + unet.source(name))
    return {
        "unet": diffusion,
        "vae": Source(VAE, lambda name: VAE + vae.source(name)),
        "text_encoder": Source(CLIP, lambda name: CLIP + name.removeprefix("text_model.")),
    }


def _tensors_of(
    component: str, network: Mapping[str, Tensor], stored: Mapping[str, Tensor], source: Source
) -> dict[str, Tensor]:
    """Every tensor of a network from the checkpoint; raises BundleError if some are missing or left over."""
    there = {name: source.named(name) for name in network}
    missing = sorted(name for name in there.values() if name not in stored)
    left = sorted(
        name
        for name in stored.keys() - set(there.values())
        if name.startswith(source.prefix) and not name.endswith(COMPUTED)
    )
    if missing or left:
        faults = [f"missing: {', '.join(missing)}"] * bool(missing) + [
            f"left over: {', '.join(left)}"
        ] * bool(left)
        raise BundleError(f"the checkpoint's {component} is not the one of this config; {'; '.join(faults)}")
    found = {name: _flat(stored[there[name]], wanted) for name, wanted in network.items()}
    wrong = [
        f"{there[name]} is {list(found[name].shape)}, wanted {list(wanted.shape)}"
        for name, wanted in network.items()
        if found[name].shape != wanted.shape
    ]
    if wrong:
        raise BundleError(
            f"the checkpoint's {component} is of another size than the config: {'; '.join(wrong)}"
        )
    return found


def _published_name(component: str, name: str) -> str:
    """The name to store: a text encoder's tensors have the prefix `text_model.` in published files."""
    return f"text_model.{name.removeprefix('text_model.')}" if component == "text_encoder" else name


def _flat(tensor: Tensor, wanted: Tensor) -> Tensor:
    """The matrix of a projection that is stored as a 1 x 1 convolution; other tensors as they are."""
    return tensor[:, :, 0, 0] if wanted.ndim == 2 and tensor.shape[2:] == (1, 1) else tensor


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)
