"""Where the tensors of a diffusers network lie in a checkpoint of the original latent diffusion code.

There the blocks of a UNet are numbered through, and down- and upsamplers are blocks of their own or tails
of the block before; a VAE's decoder counts its levels from the finest. A plan pairs prefixes, longest
first; what follows a prefix is renamed by the kind of block it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SAME: Mapping[str, str] = {}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


@dataclass(frozen=True)
class Step:
    """Names that start with `ours` start with `theirs` there; what follows is renamed by `inner`."""

    ours: str
    theirs: str
    inner: Mapping[str, str]


class Plan:
    """All steps of a network."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = {step.ours: step for step in steps}

    def source(self, name: str) -> str:
        """The original name of a tensor of ours; a name of no known block stays as it is."""
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            step = self._steps.get(".".join(parts[:end]))
            if step is not None:
                return ".".join([step.theirs, _renamed(".".join(parts[end:]), step.inner)])
        return name


def unet(config: Mapping[str, Any]) -> Plan:
    """UNet2DConditionModel, below `model.diffusion_model.`."""
    return Plan(_unet_steps(config))


def vae(config: Mapping[str, Any]) -> Plan:
    """AutoencoderKL, below `first_stage_model.`."""
    return Plan(_vae_steps(config))


def _unet_steps(config: Mapping[str, Any]) -> Iterable[Step]:
    layers = config["layers_per_block"]
    yield Step("conv_in", "input_blocks.0.0", SAME)
    yield Step("time_embedding.linear_1", "time_embed.0", SAME)
    yield Step("time_embedding.linear_2", "time_embed.2", SAME)
    yield Step("conv_norm_out", "out.0", SAME)
    yield Step("conv_out", "out.2", SAME)
    yield Step("mid_block.resnets.0", "middle_block.0", UNET_RESNET)
    yield Step("mid_block.attentions.0", "middle_block.1", SAME)
    yield Step("mid_block.resnets.1", "middle_block.2", UNET_RESNET)
    number = 1
    for level, _ in enumerate(config["down_block_types"]):
        for layer in range(layers):
            yield Step(f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0", UNET_RESNET)
            yield Step(f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1", SAME)
            number += 1
        yield Step(f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op", SAME)
        number += 1
    number = 0
    for level, kind in enumerate(config["up_block_types"]):
        for layer in range(layers + 1):
            yield Step(f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0", UNET_RESNET)
            yield Step(f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1", SAME)
            number += 1
        tail = 2 if kind.startswith("CrossAttn") else 1
        yield Step(f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{tail}.conv", SAME)


def _vae_steps(config: Mapping[str, Any]) -> Iterable[Step]:
    layers, levels = config["layers_per_block"], len(config["block_out_channels"])
    for side in ("encoder", "decoder"):
        yield Step(f"{side}.conv_norm_out", f"{side}.norm_out", SAME)
        yield Step(f"{side}.mid_block.resnets.0", f"{side}.mid.block_1", VAE_RESNET)
        yield Step(f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1", VAE_ATTENTION)
        yield Step(f"{side}.mid_block.resnets.1", f"{side}.mid.block_2", VAE_RESNET)
    for level in range(levels):
        down, up = f"encoder.down.{level}", f"decoder.up.{levels - 1 - level}"
        for layer in range(layers):
            yield Step(f"encoder.down_blocks.{level}.resnets.{layer}", f"{down}.block.{layer}", VAE_RESNET)
        for layer in range(layers + 1):
            yield Step(f"decoder.up_blocks.{level}.resnets.{layer}", f"{up}.block.{layer}", VAE_RESNET)
        yield Step(f"encoder.down_blocks.{level}.downsamplers.0.conv", f"{down}.downsample.conv", SAME)
        yield Step(f"decoder.up_blocks.{level}.upsamplers.0.conv", f"{up}.upsample.conv", SAME)


def _renamed(rest: str, inner: Mapping[str, str]) -> str:
    for ours, theirs in inner.items():
        if rest.startswith(f"{ours}."):
            return theirs + rest[len(ours) :]
    return rest
