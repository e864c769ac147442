"""The small networks: every one of the class its full-size sibling has, only narrower and shallower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
PIPELINE = {
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}
TEXT_WIDTH = 32
# How the text head sees: half a unit of colour either side of grey.
PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 64, "width": 64},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}


def unet(channels: int = 8) -> Any:
    """So many channels in (noise and what is set beside it), 4 out, made for 16 x 16 latents."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
    )


def vae() -> Any:
    """8 pixels to a latent, 4 latent channels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        scaling_factor=0.18215,
    )


def text_encoder(words: int) -> Any:
    """Two layers over a vocabulary of so many tokens, the last two of which start and end a text."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from training.tiny.vocabulary import LENGTH

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=TEXT_WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            bos_token_id=words - 2,
            eos_token_id=words - 1,
            pad_token_id=words - 1,
        )
    )


def text_head(words: int, *, size: int = 64) -> Any:
    """CLIPSeg over a vocabulary of so many tokens, for pictures of `size` x `size`; maps are half as wide.

    As they are first drawn such networks are certain of everything and hardly hear the words; here they
    hear them and are of two minds.
    """
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegTextConfig,
        CLIPSegVisionConfig,
    )

    from training.tiny.vocabulary import LENGTH

    shared = {"intermediate_size": 64, "num_attention_heads": 2}
    text = CLIPSegTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        num_hidden_layers=2,
        max_position_embeddings=LENGTH,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        **shared,
    )
    vision = CLIPSegVisionConfig(hidden_size=32, num_hidden_layers=3, image_size=size, patch_size=8, **shared)
    network = CLIPSegForImageSegmentation(
        CLIPSegConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=32,
            extract_layers=[0, 1, 2],
            reduce_dim=16,
            decoder_num_attention_heads=2,
            decoder_intermediate_size=32,
            use_complex_transposed_convolution=True,
        )
    )
    with torch.no_grad():
        for part in network.decoder.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        network.decoder.transposed_convolution[-1].weight.mul_(30)
        network.clip.text_model.embeddings.token_embedding.weight.mul_(30)
    return network


def sam(config: dict[str, Any]) -> dict[str, Tensor]:
    """The state of a random SAM 2 that believes in things.

    A network that has learned nothing is as likely as not to say that no object is there, and then shows
    no mask at all; so its first opinion is that there is one.
    """
    from hydra.utils import instantiate

    network = instantiate(config["model"])
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def sam_config(*, size: int = 128, width: int = 32, memory: int = 16, trunk: int = 16) -> dict[str, Any]:
    """sam2's model config: Hiera of five blocks, pictures of `size` x `size`."""
    feature = size // 16
    attention = {
        "_target_": "sam2.modeling.sam.transformer.RoPEAttention",
        "rope_theta": 10000.0,
        "feat_sizes": [feature, feature],
        "embedding_dim": width,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.0,
    }
    encoder = {
        "_target_": "sam2.modeling.backbones.image_encoder.ImageEncoder",
        "scalp": 1,
        "trunk": {
            "_target_": "sam2.modeling.backbones.hieradet.Hiera",
            "embed_dim": trunk,
            "num_heads": 1,
            "stages": [1, 1, 2, 1],
            "global_att_blocks": [3],
            "window_pos_embed_bkg_spatial_size": [4, 4],
            "window_spec": [8, 4, 8, 4],
        },
        "neck": {
            "_target_": "sam2.modeling.backbones.image_encoder.FpnNeck",
            "position_encoding": _positions(width),
            "d_model": width,
            "backbone_channel_list": [trunk * 8, trunk * 4, trunk * 2, trunk],
            "fpn_top_down_levels": [2, 3],
            "fpn_interp_model": "nearest",
        },
    }
    memory_attention = {
        "_target_": "sam2.modeling.memory_attention.MemoryAttention",
        "d_model": width,
        "pos_enc_at_input": True,
        "num_layers": 1,
        "layer": {
            "_target_": "sam2.modeling.memory_attention.MemoryAttentionLayer",
            "activation": "relu",
            "dim_feedforward": 4 * width,
            "dropout": 0.0,
            "pos_enc_at_attn": False,
            "self_attention": attention,
            "d_model": width,
            "pos_enc_at_cross_attn_keys": True,
            "pos_enc_at_cross_attn_queries": False,
            "cross_attention": {**attention, "rope_k_repeat": True, "kv_in_dim": memory},
        },
    }
    memory_encoder = {
        "_target_": "sam2.modeling.memory_encoder.MemoryEncoder",
        "in_dim": width,
        "out_dim": memory,
        "position_encoding": _positions(memory),
        "mask_downsampler": {
            "_target_": "sam2.modeling.memory_encoder.MaskDownSampler",
            "embed_dim": width,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
        },
        "fuser": {
            "_target_": "sam2.modeling.memory_encoder.Fuser",
            "layer": {
                "_target_": "sam2.modeling.memory_encoder.CXBlock",
                "dim": width,
                "kernel_size": 7,
                "padding": 3,
                "layer_scale_init_value": 0.01,
                "use_dwconv": True,
            },
            "num_layers": 2,
        },
    }
    return {
        "model": {
            "_target_": "sam2.modeling.sam2_base.SAM2Base",
            "image_encoder": encoder,
            "memory_attention": memory_attention,
            "memory_encoder": memory_encoder,
            "image_size": size,
            "num_maskmem": 7,
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


def _positions(width: int) -> dict[str, Any]:
    return {
        "_target_": "sam2.modeling.position_encoding.PositionEmbeddingSine",
        "num_pos_feats": width,
        "normalize": True,
        "scale": None,
        "temperature": 10000,
    }
