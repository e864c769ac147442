"""A small random SAM 3: transformers' own class, as a text head and as it is published."""

from __future__ import annotations

import json
import re
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


# The names that SAM 3's authors gave to its parts, and those of transformers, with places cut short.
_SHORT = {
    "TRUNK": "backbone.vision_backbone.trunk",
    "NECK": "backbone.vision_backbone.convs",
    "WORDS": "backbone.language_backbone.encoder",
    "SIGHT": r"vision_encoder\.backbone",
    "LEVELS": r"vision_encoder\.neck\.fpn_layers",
    "SPEECH": r"text_encoder\.text_model",
}
_PARTS = (
    (
        r"TRUNK.blocks.\1.attn.",
        r"SIGHT\.layers\.(\d+)\.attention\.",
    ),
    (
        r"TRUNK.blocks.\1.norm\2",
        r"SIGHT\.layers\.(\d+)\.layer_norm(\d)",
    ),
    (r"TRUNK.blocks.\1.mlp.", r"SIGHT\.layers\.(\d+)\.mlp\."),
    ("TRUNK.ln_pre", r"SIGHT\.layer_norm"),
    (
        "TRUNK.pos_embed",
        r"SIGHT\.embeddings\.position_embeddings",
    ),
    (
        "TRUNK.patch_embed.proj",
        r"SIGHT\.embeddings\.patch_embeddings\.projection",
    ),
    ("NECK.0.dconv_2x2_0", r"LEVELS\.0\.scale_layers\.0"),
    ("NECK.0.dconv_2x2_1", r"LEVELS\.0\.scale_layers\.2"),
    ("NECK.1.dconv_2x2", r"LEVELS\.1\.scale_layers\.0"),
    (r"NECK.\1.conv_1x1", r"LEVELS\.(\d)\.proj1"),
    (r"NECK.\1.conv_3x3", r"LEVELS\.(\d)\.proj2"),
    (
        "WORDS.token_embedding",
        r"SPEECH\.embeddings\.token_embedding",
    ),
    (
        "WORDS.positional_embedding",
        r"SPEECH\.embeddings\.position_embedding\.weight",
    ),
    (
        r"WORDS.transformer.resblocks.\1.attn.",
        r"SPEECH\.encoder\.layers\.(\d+)\.self_attn\.",
    ),
    (
        r"WORDS.transformer.resblocks.\1.ln_\2",
        r"SPEECH\.encoder\.layers\.(\d+)\.layer_norm(\d)",
    ),
    (
        r"WORDS.transformer.resblocks.\1.mlp.c_fc",
        r"SPEECH\.encoder\.layers\.(\d+)\.mlp\.fc1",
    ),
    (
        r"WORDS.transformer.resblocks.\1.mlp.c_proj",
        r"SPEECH\.encoder\.layers\.(\d+)\.mlp\.fc2",
    ),
    ("WORDS.ln_final", r"SPEECH\.final_layer_norm"),
    ("WORDS.text_projection", r"text_encoder\.text_projection\.weight"),
    ("backbone.language_backbone.resizer", r"^text_projection"),
    (r"geometry_encoder.encode.\1.", r"geometry_encoder\.layers\.(\d)\."),
    ("geometry_encoder.img_pre_norm", r"geometry_encoder\.vision_layer_norm"),
    ("geometry_encoder.norm", r"geometry_encoder\.prompt_layer_norm"),
    ("geometry_encoder.encode_norm", r"geometry_encoder\.output_layer_norm"),
    ("transformer.encoder.", r"^detr_encoder\."),
    ("transformer.decoder.norm", r"^detr_decoder\.output_layer_norm"),
    ("transformer.decoder.bbox_embed", r"^detr_decoder\.box_head"),
    ("transformer.decoder.presence_token_out_norm", r"^detr_decoder\.presence_layer_norm"),
    ("transformer.decoder.presence_token_head", r"^detr_decoder\.presence_head"),
    (r"transformer.decoder.boxRPB_embed_\1", r"^detr_decoder\.box_rpb_embed_(x|y)"),
    ("transformer.decoder.", r"^detr_decoder\."),
    ("segmentation_head.mask_predictor.mask_embed", r"^mask_decoder\.mask_embedder"),
    (r"segmentation_head.\1_seg_head", r"^mask_decoder\.(instance|semantic)_projection"),
    ("segmentation_head.cross_attn_norm", r"^mask_decoder\.prompt_cross_attn_norm"),
    ("segmentation_head.cross_attend_prompt", r"^mask_decoder\.prompt_cross_attn"),
    ("segmentation_head.", r"^mask_decoder\."),
    ("dot_prod_scoring.prompt_mlp.out_norm", r"^dot_product_scoring\.text_mlp_out_norm"),
    ("dot_prod_scoring.prompt_mlp", r"^dot_product_scoring\.text_mlp"),
    ("dot_prod_scoring.prompt_proj", r"^dot_product_scoring\.text_proj"),
    ("dot_prod_scoring.hs_proj", r"^dot_product_scoring\.query_proj"),
    (r"decoder.layers.\1.catext_norm", r"decoder\.layers\.(\d)\.text_cross_attn_layer_norm"),
    (r"decoder.layers.\1.norm1", r"decoder\.layers\.(\d)\.vision_cross_attn_layer_norm"),
    (r"decoder.layers.\1.norm2", r"decoder\.layers\.(\d)\.self_attn_layer_norm"),
    (r"decoder.layers.\1.norm3", r"decoder\.layers\.(\d)\.mlp_layer_norm"),
    (".ca_text.", r"\.text_cross_attn\."),
    (".cross_attn_image.", r"\.cross_attn\."),
    (".cross_attn.", r"\.vision_cross_attn\."),
    (r"\1.norm\2.", r"((?:encode|layers)\.\d)\.layer_norm(\d)\."),
    (r"\1.linear\2.", r"((?:encode|coder\.layers)\.\d)\.mlp\.fc(\d)\."),
)


def as_original(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A network's tensors as in sam3.pt: under the authors' names, queries, keys and values in one."""
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            value = torch.cat([state[name.replace(".q_proj.", f".{letter}_proj.")] for letter in "qkv"])
        found[f"detector.{_original_name(name)}"] = value
    positions = "detector.backbone.vision_backbone.trunk.pos_embed"
    found[positions] = torch.cat([torch.ones_like(found[positions][:, :1]), found[positions]], dim=1)
    projection = "detector.backbone.language_backbone.encoder.text_projection"
    found[projection] = found[projection].T.contiguous()
    return found | {
        "detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis": torch.ones(
            2, dtype=torch.complex64
        ),
        "detector.backbone.vision_backbone.sam2_convs.0.conv_1x1.weight": torch.ones(1),
        "detector.geometry_encoder.points_direct_project.weight": torch.ones(1),
        "tracker.maskmem_tpos_enc": torch.ones(1),
    }


def _original_name(name: str) -> str:
    for theirs, ours in _PARTS:
        for short in re.findall("[A-Z]{4,}", theirs + ours):
            theirs, ours = theirs.replace(short, _SHORT[short]), ours.replace(short, _SHORT[short])
        name = re.sub(ours, theirs, name)
    name = re.sub(r"\.layer([123])\.", lambda match: f".layers.{int(match[1]) - 1}.", name)
    fused = r".qkv.\1" if "trunk" in name else r".in_proj_\1"
    name = re.sub(r"\.q_proj\.(weight|bias)$", fused, name)
    return re.sub(r"\.o_proj\.", ".proj." if "trunk" in name else ".out_proj.", name)


def _write(folder: Path, content: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    looks = {"size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "preprocessor_config.json").write_text(json.dumps(looks))
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
