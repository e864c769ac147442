"""Random adapters for a network, in every layout."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor, nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def layers(network: nn.Module, ends: tuple[str, ...] = ATTENTION) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers whose names end like this; () for all that can be adapted."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and (not ends or f".{name}".endswith(tuple(f".{end}" for end in ends)))
    }


def matrices(
    network: nn.Module, ends: tuple[str, ...] = ATTENTION, *, rank: int = 2, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Random LoRA matrices, down and up, by layer."""
    rng = torch.Generator().manual_seed(seed)
    made = {}
    for name, layer in layers(network, ends).items():
        out, *inside = layer.weight.shape
        down = torch.randn(rank, *inside, generator=rng) / torch.tensor(inside).prod().sqrt()
        up = torch.randn(out, rank, *(1 for _ in inside[1:]), generator=rng) * 0.5
        made[name] = (down, up)
    return made


def keyed(made: Mapping[str, tuple[Tensor, Tensor]], layout: str) -> dict[str, Tensor]:
    """Matrices under the keys of a layout: `peft`, `named` (peft with an adapter's name), `diffusers`, `bare`
    (without `unet.`), `updown`, `old` (of attention layers only) or `kohya` (without alphas)."""
    found: dict[str, Tensor] = {}
    for name, (down, up) in made.items():
        attention, _, last = name.removesuffix(".0").rpartition(".")
        found |= {
            "peft": {
                f"base_model.model.{name}.lora_A.weight": down,
                f"base_model.model.{name}.lora_B.weight": up,
            },
            "named": {f"{name}.lora_A.default.weight": down, f"{name}.lora_B.default.weight": up},
            "diffusers": {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up},
            "bare": {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up},
            "updown": {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up},
            "old": {
                f"unet.{attention}.processor.{last}_lora.down.weight": down,
                f"unet.{attention}.processor.{last}_lora.up.weight": up,
            },
            "kohya": {
                f"lora_unet_{name.replace('.', '_')}.lora_down.weight": down,
                f"lora_unet_{name.replace('.', '_')}.lora_up.weight": up,
            },
        }[layout]
    return found


def own_weights(
    network: nn.Module, ends: tuple[str, ...] = ATTENTION, *, seed: int = 0, by: float = 0.1
) -> dict[str, Tensor]:
    """Some of a network's own weights and biases, moved a little from where they are."""
    rng = torch.Generator().manual_seed(seed)
    return {
        f"{name}.{part}": (own + by * torch.randn(own.shape, generator=rng)).contiguous()
        for name, layer in layers(network, ends).items()
        for part, own in layer.named_parameters()
    }


def file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Tensor:
    """A safetensors file's bytes as UINT8, the way they are sent."""
    data = save(
        {key: tensor.contiguous() for key, tensor in tensors.items()},
        metadata=dict(metadata) if metadata else None,
    )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def lora(network: nn.Module, seed: int = 0, *, rank: int = 2, layout: str = "diffusers") -> Tensor:
    """The file of a random LoRA of the attention layers."""
    return file(keyed(matrices(network, rank=rank, seed=seed), layout))
