"""A small random SAM 3: transformers' own class, as a text head and as it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Sam3Config, Sam3Model

from training.tiny import vocabulary

SIZE = 112


def config(words: int) -> dict[str, Any]:
    """As the published one, in the same older words, but narrow: 64 places to look at, 12 instances."""
    part = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIZE,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
        "rope_theta": 10000.0,
    }
    return {
        "vision_config": {
            "model_type": "sam3_vision_model",
            "backbone_config": backbone,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": words,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "projection_dim": 32,
            "bos_token_id": words - 2,
            "eos_token_id": words - 1,
        },
        "geometry_encoder_config": part,
        "detr_encoder_config": part,
        "detr_decoder_config": {**part, "num_queries": 12},
        "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 2},
        "model_type": "sam3",
    }


def network(settings: dict[str, Any], seed: int = 0) -> Sam3Model:
    """Weights drawn so that instances differ: in score, some above one half and some below, and in shape."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = Sam3Model(Sam3Config.from_dict(settings)).eval()
    with torch.no_grad():
        for name, values in drawn.named_parameters():
            if values.ndim > 1:
                values.mul_(3.0)
            if name.startswith("dot_product_scoring") and values.ndim > 1:
                values.mul_(2.0)
        drawn.detr_decoder.presence_head.layer3.bias.fill_(2.0)
    return drawn


def write_head(folder: Path) -> Sam3Model:
    """A text head in a bundle's folder; gives the network that is in it."""
    settings = config(vocabulary.write(folder))
    written = network(settings)
    _write(folder, {**settings, "architectures": ["Sam3Model"]}, written.state_dict())
    return written


def write_published(folder: Path) -> Sam3Model:
    """The folder of a publication, in which another network lies beside the one that finds things."""
    settings = config(vocabulary.write(folder))
    written = network(settings)
    state = {f"detector_model.{name}": value for name, value in written.state_dict().items()}
    others = {"tracker_model.no_mem_embed": torch.ones(1, 4), "tracker_neck.fpn_layers.0.bias": torch.ones(2)}
    content = {"architectures": ["Sam3VideoModel"], "detector_config": settings, "model_type": "sam3_video"}
    _write(folder, content, {**state, **others})
    return written


def _write(folder: Path, content: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    looks = {"size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "preprocessor_config.json").write_text(json.dumps(looks))
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
