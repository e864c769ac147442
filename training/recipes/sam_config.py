"""The config of the starter SAM 2, with the keys of the published yaml files and smaller numbers."""

from __future__ import annotations

import copy
from pathlib import Path

import yaml
from hydra.utils import instantiate
from sam2.modeling.sam2_base import SAM2Base

_SAM2 = "sam2.modeling"


def config(
    *, image_size: int, width: int = 96, memory: int = 48, trunk: int = 32, stages=(1, 2, 3, 1)
) -> dict:
    """`width` channels in neck and decoder, `memory` in the memory maps, `trunk` at stride 4."""
    return {
        "model": {
            "_target_": f"{_SAM2}.sam2_base.SAM2Base",
            "image_encoder": _image_encoder(width, trunk, list(stages)),
            "memory_attention": _memory_attention(width, memory, image_size // 16),
            "memory_encoder": _memory_encoder(width, memory),
            "num_maskmem": 7,
            "image_size": image_size,
            "sigmoid_scale_for_mem_enc": 20.0,
            "sigmoid_bias_for_mem_enc": -10.0,
            "use_mask_input_as_output_without_sam": True,
            "directly_add_no_mem_embed": True,
            "no_obj_embed_spatial": True,
            "use_high_res_features_in_sam": True,
            "multimask_output_in_sam": True,
            "iou_prediction_use_sigmoid": True,
            "use_obj_ptrs_in_encoder": True,
            "add_tpos_enc_to_obj_ptrs": True,
            "proj_tpos_enc_in_obj_ptrs": True,
            "use_signed_tpos_enc_to_obj_ptrs": True,
            "only_obj_ptrs_in_the_past_for_eval": True,
            "pred_obj_scores": True,
            "pred_obj_scores_mlp": True,
            "fixed_no_obj_ptr": True,
            "multimask_output_for_tracking": True,
            "use_multimask_token_for_obj_ptr": True,
            "multimask_min_pt_num": 0,
            "multimask_max_pt_num": 1,
            "use_mlp_for_obj_ptr_proj": True,
            "compile_image_encoder": False,
        }
    }


def build(settings: dict, *, video: bool = False) -> SAM2Base:
    """A network of stock classes; `video` makes it the video predictor."""
    model = copy.deepcopy(settings["model"])
    if video:
        model["_target_"] = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    return instantiate(model, _recursive_=True)


def write(settings: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def _image_encoder(width: int, trunk: int, stages: list[int]) -> dict:
    last = sum(stages) - 1
    return {
        "_target_": f"{_SAM2}.backbones.image_encoder.ImageEncoder",
        "scalp": 1,
        "trunk": {
            "_target_": f"{_SAM2}.backbones.hieradet.Hiera",
            "embed_dim": trunk,
            "num_heads": 1,
            "stages": stages,
            "global_att_blocks": [last - 2, last - 1],
            "window_pos_embed_bkg_spatial_size": [4, 4],
            "window_spec": [8, 4, 8, 4],
        },
        "neck": {
            "_target_": f"{_SAM2}.backbones.image_encoder.FpnNeck",
            "position_encoding": _position(width),
            "d_model": width,
            "backbone_channel_list": [trunk * 8, trunk * 4, trunk * 2, trunk],
            "fpn_top_down_levels": [2, 3],
            "fpn_interp_model": "nearest",
        },
    }


def _memory_attention(width: int, memory: int, side: int) -> dict:
    rotary = {
        "_target_": f"{_SAM2}.sam.transformer.RoPEAttention",
        "rope_theta": 10000.0,
        "feat_sizes": [side, side],
        "embedding_dim": width,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.0,
    }
    return {
        "_target_": f"{_SAM2}.memory_attention.MemoryAttention",
        "d_model": width,
        "pos_enc_at_input": True,
        "num_layers": 2,
        "layer": {
            "_target_": f"{_SAM2}.memory_attention.MemoryAttentionLayer",
            "activation": "relu",
            "dim_feedforward": 4 * width,
            "dropout": 0.0,
            "pos_enc_at_attn": False,
            "self_attention": rotary,
            "d_model": width,
            "pos_enc_at_cross_attn_keys": True,
            "pos_enc_at_cross_attn_queries": False,
            "cross_attention": {**rotary, "rope_k_repeat": True, "kv_in_dim": memory},
        },
    }


def _memory_encoder(width: int, memory: int) -> dict:
    return {
        "_target_": f"{_SAM2}.memory_encoder.MemoryEncoder",
        "in_dim": width,
        "out_dim": memory,
        "position_encoding": _position(memory),
        "mask_downsampler": {
            "_target_": f"{_SAM2}.memory_encoder.MaskDownSampler",
            "embed_dim": width,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
        },
        "fuser": {
            "_target_": f"{_SAM2}.memory_encoder.Fuser",
            "num_layers": 2,
            "layer": {
                "_target_": f"{_SAM2}.memory_encoder.CXBlock",
                "dim": width,
                "kernel_size": 7,
                "padding": 3,
                "layer_scale_init_value": 1e-2,
                "use_dwconv": True,
            },
        },
    }


def _position(features: int) -> dict:
    return {
        "_target_": f"{_SAM2}.position_encoding.PositionEmbeddingSine",
        "num_pos_feats": features,
        "normalize": True,
        "scale": None,
        "temperature": 10000,
    }
