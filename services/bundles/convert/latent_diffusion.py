"""A checkpoint of the latent diffusion code made into a bundle: UNet, autoencoder and text encoder in one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from services.bundles.architectures import hollow
from services.bundles.bundle import Bundle
from services.bundles.convert import ldm
from services.bundles.convert.open_clip import CLIP
from services.bundles.convert.writing import copy_tokenizer, new_bundle, write_json, write_tensors
from services.bundles.errors import BundleError

UNET, AVERAGED = "model.diffusion_model.", "model_ema.diffusion_model"
VAE = "first_stage_model."
FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
IDLE = "embeddings.position_ids"  # computed, not learned


def bundle_of(
    stored: Mapping[str, Tensor], to: Path, *, tokenizer: Path, dtype: torch.dtype | None, config: Path
) -> Bundle:
    """Make the bundle `to` of a checkpoint's tensors.

    `tokenizer` holds the files of the CLIP tokenizer, which a checkpoint lacks; `config` is a bundle of
    configs alone, and what that says of the tokenizer counts; `dtype` None keeps numbers as they are
    stored. Averaged weights of the UNet are taken where there are any.
    """
    plan = Bundle.open(config)
    with new_bundle(to) as part:
        for component, source in _sources(plan, stored).items():
            network = hollow(component, plan.config(component)).state_dict()
            found = _gathered(component, network, stored, source)
            write_json(part / component / "config.json", plan.config(component))
            write_tensors(
                part / component / FILES[component],
                {_published(component, name): _cast(value, dtype) for name, value in found.items()},
            )
        copy_tokenizer(tokenizer, part / "tokenizer")
        set_up = plan.folder / "tokenizer" / "tokenizer_config.json"
        if set_up.is_file():
            shutil.copyfile(set_up, part / "tokenizer" / set_up.name)
            (part / "tokenizer" / "special_tokens_map.json").unlink(missing_ok=True)  # says the same, or not
        write_json(part / "scheduler" / "scheduler_config.json", plan.scheduler_config())
        for name in ("model_index.json", "intarsia.json"):
            if (plan.folder / name).is_file():
                shutil.copyfile(plan.folder / name, part / name)
    return Bundle.open(to)


@dataclass(frozen=True)
class Source:
    """Where a network lies: all its tensors' names start with `prefix`; `named` leads from ours to theirs."""

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


def _gathered(
    component: str, network: Mapping[str, Tensor], stored: Mapping[str, Tensor], source: Source
) -> dict[str, Tensor]:
    """Every tensor of a network out of the checkpoint, and not one left over."""
    there = {name: source.named(name) for name in network}
    missing = sorted(name for name in there.values() if name not in stored)
    left = sorted(
        name
        for name in stored.keys() - set(there.values())
        if name.startswith(source.prefix) and not name.endswith(IDLE)
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


def _published(component: str, name: str) -> str:
    """Every reader knows a text encoder's tensors by the prefix they were first published with."""
    return f"text_model.{name.removeprefix('text_model.')}" if component == "text_encoder" else name


def _flat(tensor: Tensor, wanted: Tensor) -> Tensor:
    """A projection may be kept as a convolution of one pixel; it is the same matrix."""
    return tensor[:, :, 0, 0] if wanted.ndim == 2 and tensor.shape[2:] == (1, 1) else tensor


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)
