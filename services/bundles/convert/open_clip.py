"""Renames the tensors of an OpenCLIP text encoder to those of CLIP's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

CLIP = "cond_stage_model.transformer.text_model."
OPEN_CLIP = "cond_stage_model.model."
_WHOLE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_UNUSED = ("text_projection", "logit_scale", "attn_mask")  # used for comparing texts with pictures only
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


def as_clip(stored: Mapping[str, Tensor], *, layers: int) -> dict[str, Tensor]:
    """The checkpoint with its text encoder, if that is an OpenCLIP one, under CLIP's names.

    The embedding is the output of the last layer but one, so of `layers` + 1 the last is left out.
    Unknown names are kept behind CLIP's prefix.
    """
    renamed: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.startswith(OPEN_CLIP):
            renamed.update(
                (CLIP + ours, part) for ours, part in _renamed(name[len(OPEN_CLIP) :], value, layers)
            )
        else:
            renamed[name] = value
    return renamed


def _renamed(name: str, value: Tensor, layers: int) -> Iterator[tuple[str, Tensor]]:
    block = _BLOCK.fullmatch(name)
    if block is None:
        if name not in _UNUSED:
            yield _WHOLE.get(name, name), value
        return
    number, rest = int(block[1]), block[2]
    if number == layers:
        return
    layer = f"encoder.layers.{number}"
    if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):  # queries, keys and values in one
        kind = rest.rpartition("_")[2]
        for letter, part in zip("qkv", value.chunk(3), strict=True):
            yield f"{layer}.self_attn.{letter}_proj.{kind}", part
        return
    part_of, _, kind = rest.rpartition(".")
    yield f"{layer}.{_PARTS.get(part_of, part_of)}.{kind}", value
