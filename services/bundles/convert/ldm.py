"""Maps the tensor names of diffusers networks to those of the original latent diffusion code.

There the blocks of a UNet are numbered consecutively, down- and upsamplers are blocks of their own or the
last part of the block before, and a VAE's decoder counts its levels from the finest. A map pairs prefixes,
longest first; the rest of a name is renamed by the kind of block.
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
class PrefixRule:
    """Replaces the prefix `ours` by `theirs`; the rest of a name is renamed by `inner`."""

    ours: str
    theirs: str
    inner: Mapping[str, str]


class NameMap:
    """The prefix rules of a network."""

    def __init__(self, rules: Iterable[PrefixRule]) -> None:
        self._rules = {rule.ours: rule for rule in rules}

    def source(self, name: str) -> str:
        """The original name of one of our tensors; a name that no rule matches stays as it is."""
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            rule = self._rules.get(".".join(parts[:end]))
            if rule is not None:
                return ".".join([rule.theirs, _renamed(".".join(parts[end:]), rule.inner)])
        return name


def unet(config: Mapping[str, Any]) -> NameMap:
    """UNet2DConditionModel, below `model.diffusion_model.`."""
    return NameMap(_unet_rules(config))


def vae(config: Mapping[str, Any]) -> NameMap:
    """AutoencoderKL, below `first_stage_model.`."""
    return NameMap(_vae_rules(config))


def _unet_rules(config: Mapping[str, Any]) -> Iterable[PrefixRule]:
    layers = config["layers_per_block"]
    yield PrefixRule("conv_in", "input_blocks.0.0", SAME)
    yield PrefixRule("time_embedding.linear_1", "time_embed.0", SAME)
    yield PrefixRule("time_embedding.linear_2", "time_embed.2", SAME)
    yield PrefixRule("conv_norm_out", "out.0", SAME)
    yield PrefixRule("conv_out", "out.2", SAME)
    yield PrefixRule("mid_block.resnets.0", "middle_block.0", UNET_RESNET)
    yield PrefixRule("mid_block.attentions.0", "middle_block.1", SAME)
    yield PrefixRule("mid_block.resnets.1", "middle_block.2", UNET_RESNET)
    number = 1
    for level, _ in enumerate(config["down_block_types"]):
        for layer in range(layers):
            yield PrefixRule(f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0", UNET_RESNET)
            yield PrefixRule(f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1", SAME)
            number += 1
        yield PrefixRule(f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op", SAME)
        number += 1
    number = 0
    for level, kind in enumerate(config["up_block_types"]):
        for layer in range(layers + 1):
            yield PrefixRule(f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0", UNET_RESNET)
            yield PrefixRule(f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1", SAME)
            number += 1
        tail = 2 if kind.startswith("CrossAttn") else 1
        yield PrefixRule(
            f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{tail}.conv", SAME
        )


def _vae_rules(config: Mapping[str, Any]) -> Iterable[PrefixRule]:
    layers, levels = config["layers_per_block"], len(config["block_out_channels"])
    for side in ("encoder", "decoder"):
        yield PrefixRule(f"{side}.conv_norm_out", f"{side}.norm_out", SAME)
        yield PrefixRule(f"{side}.mid_block.resnets.0", f"{side}.mid.block_1", VAE_RESNET)
        yield PrefixRule(f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1", VAE_ATTENTION)
        yield PrefixRule(f"{side}.mid_block.resnets.1", f"{side}.mid.block_2", VAE_RESNET)
    for level in range(levels):
        down, up = f"encoder.down.{level}", f"decoder.up.{levels - 1 - level}"
        for layer in range(layers):
            yield PrefixRule(
                f"encoder.down_blocks.{level}.resnets.{layer}", f"{down}.block.{layer}", VAE_RESNET
            )
        for layer in range(layers + 1):
            yield PrefixRule(f"decoder.up_blocks.{level}.resnets.{layer}", f"{up}.block.{layer}", VAE_RESNET)
        yield PrefixRule(f"encoder.down_blocks.{level}.downsamplers.0.conv", f"{down}.downsample.conv", SAME)
        yield PrefixRule(f"decoder.up_blocks.{level}.upsamplers.0.conv", f"{up}.upsample.conv", SAME)


def _renamed(rest: str, inner: Mapping[str, str]) -> str:
    for ours, theirs in inner.items():
        if rest.startswith(f"{ours}."):
            return theirs + rest[len(ours) :]
    return rest
