"""Small random checkpoints in the layout that InstructPix2Pix and its kin were published in.

The original code numbers the parts of a UNet as it makes them; so does this, from its side, and tells for
every part where it went in diffusers. Written apart from the conversion it serves to test.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle
from services.bundles.published_configs import IP2P
from training.tiny import vocabulary

Tensors = dict[str, torch.Tensor]

RESNET = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
]


def narrow_configs(folder: Path, of: Path = IP2P) -> Path:
    """Published configs with everything made narrow: as many blocks, and of the same kinds."""
    narrow = {
        "unet": {
            "block_out_channels": [8, 16, 16, 16],
            "norm_num_groups": 4,
            "attention_head_dim": 2,
            "cross_attention_dim": 16,
        },
        "vae": {"block_out_channels": [4, 8, 8, 8], "norm_num_groups": 4},
        "text_encoder": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": vocabulary.LENGTH,
            "vocab_size": vocabulary.write(folder.parent / "tokenizer"),
        },
    }
    published = Bundle.open(of)
    for component, values in narrow.items():
        (folder / component).mkdir(parents=True)
        (folder / component / "config.json").write_text(json.dumps({**published.config(component), **values}))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(published.scheduler_config()))
    return folder


def drawn(configs: Path, seed: int) -> dict[str, Tensors]:
    """Random numbers for every tensor of every network, by our names."""
    generator = torch.Generator().manual_seed(seed)
    bundle = Bundle.open(configs)
    return {
        component: {
            name: torch.randn(value.shape, generator=generator)
            for name, value in build_on_meta(component, bundle.config(component)).state_dict().items()
        }
        for component in bundle.components
    }


def instruct_pix2pix(networks: dict[str, Tensors], averaged: dict[str, Tensors] | None) -> Tensors:
    """The state dict of the original model. `averaged`: networks whose UNet goes where averages lie."""
    state: Tensors = {"betas": torch.zeros(1000), "logvar": torch.zeros(1000)}
    for name, value in networks["unet"].items():
        state[f"model.diffusion_model.{unet_name(name)}"] = value
    if averaged is not None:
        state["model_ema.decay"] = torch.tensor(0.9999)
        state["model_ema.num_updates"] = torch.tensor(1)
        for name, value in averaged["unet"].items():
            state["model_ema." + f"diffusion_model.{unet_name(name)}".replace(".", "")] = value
    for name, value in networks["vae"].items():
        there = vae_name(name)
        square = ".attn_1." in there and ".norm." not in there and there.endswith("weight")
        state[f"first_stage_model.{there}"] = value[:, :, None, None] if square else value
    for name, value in networks["text_encoder"].items():
        state[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = value
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(20)[None]
    return state


def unet_name(name: str) -> str:
    for there, ours in _unet_parts():
        if name.startswith(f"{ours}."):
            rest = name[len(ours) + 1 :]
            if "resnets" in ours:
                rest = _swap(rest, RESNET)
            return f"{there}.{rest}"
    raise AssertionError(name)


def vae_name(name: str) -> str:
    name = re.sub(r"^encoder\.down_blocks\.(\d)\.resnets\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"^encoder\.down_blocks\.(\d)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", name)
    name = re.sub(
        r"^decoder\.up_blocks\.(\d)\.resnets\.", lambda found: f"decoder.up.{3 - int(found[1])}.block.", name
    )
    name = re.sub(
        r"^decoder\.up_blocks\.(\d)\.upsamplers\.0\.",
        lambda found: f"decoder.up.{3 - int(found[1])}.upsample.",
        name,
    )
    if ".mid_block.attentions.0." in name:
        pairs = [
            ("norm", "group_norm"),
            ("q", "to_q"),
            ("k", "to_k"),
            ("v", "to_v"),
            ("proj_out", "to_out.0"),
        ]
        side, rest = name.split(".mid_block.attentions.0.")
        return f"{side}.mid.attn_1.{_swap(rest, pairs)}"
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def _unet_parts() -> list[tuple[str, str]]:
    """Parts in the order the original makes them: four levels of two, attention in the first three."""
    parts = [
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"),
    ]
    made = 1
    for level in range(4):
        for layer in range(2):
            parts.append((f"input_blocks.{made}.0", f"down_blocks.{level}.resnets.{layer}"))
            if level < 3:
                parts.append((f"input_blocks.{made}.1", f"down_blocks.{level}.attentions.{layer}"))
            made += 1
        if level < 3:
            parts.append((f"input_blocks.{made}.0.op", f"down_blocks.{level}.downsamplers.0.conv"))
            made += 1
    parts += [
        ("middle_block.0", "mid_block.resnets.0"),
        ("middle_block.1", "mid_block.attentions.0"),
        ("middle_block.2", "mid_block.resnets.1"),
    ]
    for made in range(12):
        level, layer = divmod(made, 3)
        parts.append((f"output_blocks.{made}.0", f"up_blocks.{level}.resnets.{layer}"))
        if level > 0:
            parts.append((f"output_blocks.{made}.1", f"up_blocks.{level}.attentions.{layer}"))
    parts += [
        ("output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"),
        ("output_blocks.8.2.conv", "up_blocks.2.upsamplers.0.conv"),
        ("out.0", "conv_norm_out"),
        ("out.2", "conv_out"),
    ]
    return parts


def _swap(rest: str, pairs: list[tuple[str, str]]) -> str:
    for there, ours in pairs:
        if rest.startswith(f"{ours}."):
            return there + rest[len(ours) :]
    return rest
