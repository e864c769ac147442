"""SAM 3 as its authors publish it, sam3.pt: finds the tensors of the text head under their names there.

It has a detector for pictures and a tracker for clips; only the detector is read. Its attention keeps
queries, keys and values in one tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from services.bundles.errors import BundleError

_TRUNK, _WORDS = "backbone.vision_backbone.trunk", "backbone.language_backbone.encoder"
_POSITIONS = f"{_TRUNK}.pos_embed"
_PROJECTION = f"{_WORDS}.text_projection"
# Our name, or the beginning of it, and theirs; the longest that fits counts.
_PLACES = {
    "vision_encoder.backbone.embeddings.position_embeddings": _POSITIONS,
    "vision_encoder.backbone.embeddings.patch_embeddings.projection": f"{_TRUNK}.patch_embed.proj",
    "vision_encoder.backbone.layer_norm": f"{_TRUNK}.ln_pre",
    "vision_encoder.backbone.layers": f"{_TRUNK}.blocks",
    "vision_encoder.neck.fpn_layers": "backbone.vision_backbone.convs",
    "text_encoder.text_model.embeddings.token_embedding": f"{_WORDS}.token_embedding",
    "text_encoder.text_model.embeddings.position_embedding.weight": f"{_WORDS}.positional_embedding",
    "text_encoder.text_model.encoder.layers": f"{_WORDS}.transformer.resblocks",
    "text_encoder.text_model.final_layer_norm": f"{_WORDS}.ln_final",
    "text_encoder.text_projection.weight": _PROJECTION,
    "text_projection": "backbone.language_backbone.resizer",
    "geometry_encoder": "geometry_encoder",
    "geometry_encoder.layers": "geometry_encoder.encode",
    "geometry_encoder.vision_layer_norm": "geometry_encoder.img_pre_norm",
    "geometry_encoder.prompt_layer_norm": "geometry_encoder.norm",
    "geometry_encoder.output_layer_norm": "geometry_encoder.encode_norm",
    "detr_encoder": "transformer.encoder",
    "detr_decoder": "transformer.decoder",
    "detr_decoder.output_layer_norm": "transformer.decoder.norm",
    "detr_decoder.box_head": "transformer.decoder.bbox_embed",
    "detr_decoder.box_rpb_embed_x": "transformer.decoder.boxRPB_embed_x",
    "detr_decoder.box_rpb_embed_y": "transformer.decoder.boxRPB_embed_y",
    "detr_decoder.presence_head": "transformer.decoder.presence_token_head",
    "detr_decoder.presence_layer_norm": "transformer.decoder.presence_token_out_norm",
    "detr_decoder.ref_point_head": "transformer.decoder.ref_point_head",
    "mask_decoder": "segmentation_head",
    "mask_decoder.mask_embedder": "segmentation_head.mask_predictor.mask_embed",
    "mask_decoder.instance_projection": "segmentation_head.instance_seg_head",
    "mask_decoder.semantic_projection": "segmentation_head.semantic_seg_head",
    "mask_decoder.prompt_cross_attn": "segmentation_head.cross_attend_prompt",
    "mask_decoder.prompt_cross_attn_norm": "segmentation_head.cross_attn_norm",
    "dot_product_scoring.text_mlp": "dot_prod_scoring.prompt_mlp",
    "dot_product_scoring.text_mlp_out_norm": "dot_prod_scoring.prompt_mlp.out_norm",
    "dot_product_scoring.text_proj": "dot_prod_scoring.prompt_proj",
    "dot_product_scoring.query_proj": "dot_prod_scoring.hs_proj",
}
# Parts of layers, by where the layers are there.
_PARTS = {
    f"{_TRUNK}.blocks": {"layer_norm": "norm", "attention.o_proj": "attn.proj", "attention": "attn"},
    "backbone.vision_backbone.convs": {"proj1": "conv_1x1", "proj2": "conv_3x3"},
    f"{_WORDS}.transformer.resblocks": {
        "layer_norm": "ln_",
        "self_attn": "attn",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    },
    "": {
        "text_cross_attn_layer_norm": "catext_norm",
        "vision_cross_attn_layer_norm": "norm1",
        "self_attn_layer_norm": "norm2",
        "mlp_layer_norm": "norm3",
        "text_cross_attn": "ca_text",
        "vision_cross_attn": "cross_attn",
        "cross_attn": "cross_attn_image",
        "layer_norm": "norm",
        "mlp.fc1": "linear1",
        "mlp.fc2": "linear2",
        "layer1": "layers.0",
        "layer2": "layers.1",
        "layer3": "layers.2",
    },
}
_ATTENTION = re.compile(r"(.+)\.([qkv])_proj\.(weight|bias)")
# The parts of the detector that a text head has, and what in them it does without: what is computed, prompts
# by points, pictures for the tracker, and further answers.
_READ = ("backbone.", "geometry_encoder.", "transformer.", "segmentation_head.", "dot_prod_scoring.")
_UNUSED = re.compile(
    r"\.freqs_cis$|^geometry_encoder\.points_|^backbone\.vision_backbone\.sam2_convs\.|\.instance_\w+_?embed|"
    r"\.instance_reference_points"
)


def translated(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a text head, which are named and shaped like `wanted`, from those of a sam3.pt.

    Raises BundleError if some are missing, of another shape, or left over.
    """
    theirs = {
        name.removeprefix("detector."): value
        for name, value in stored.items()
        if not name.startswith("tracker.")
    }
    taken: set[str] = set()
    found: dict[str, Tensor] = {}
    missing = []
    for name in wanted:
        source, part = _source(name, theirs)
        if source not in theirs:
            missing.append(source)
            continue
        taken.add(source)
        found[name] = _value(theirs[source], source, part)
    left = sorted(
        name for name in theirs.keys() - taken if name.startswith(_READ) and not _UNUSED.search(name)
    )
    wrong = [
        f"{name}: {list(value.shape)}, wanted {list(wanted[name].shape)}"
        for name, value in found.items()
        if value.shape != wanted[name].shape
    ]
    faults = {"missing": sorted(set(missing)), "left over": left, "of another shape": wrong}
    if any(faults.values()):
        told = "; ".join(f"{word}: {', '.join(names)}" for word, names in faults.items() if names)
        raise BundleError(f"this is not the checkpoint of SAM 3, or not of this config; {told}")
    return found


def _source(name: str, theirs: Mapping[str, Tensor]) -> tuple[str, int | None]:
    """Where one of our tensors is there, and which third of it, if it is one."""
    attention = _ATTENTION.fullmatch(name)
    if attention:
        layer, letter, kind = attention.groups()
        place = _renamed(layer, theirs)
        whole = f"{place}.qkv.{kind}" if place.startswith(_TRUNK) else f"{place}.in_proj_{kind}"
        return whole, "qkv".index(letter)
    renamed = _renamed(name, theirs)
    return re.sub(r"\.o_proj\.(weight|bias)$", r".out_proj.\1", renamed), None


def _renamed(name: str, theirs: Mapping[str, Tensor]) -> str:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        place = _PLACES.get(".".join(parts[:end]))
        if place is not None:
            return _within(place, ".".join(parts[end:]), theirs)
    return name


def _within(place: str, rest: str, theirs: Mapping[str, Tensor]) -> str:
    """A name below a place, for example of `3.mlp.fc1.weight` below the layers of an encoder."""
    if not rest:
        return place
    number = re.match(r"(layers\.)?\d+\.", rest)
    head, tail = (number[0], rest[number.end() :]) if number else ("", rest)
    scale = re.fullmatch(r"scale_layers\.(0|2)\.(.+)", tail)
    if scale:  # one step up has no number, two have
        several = f"{place}.{head}dconv_2x2_{int(scale[1]) // 2}.{scale[2]}"
        return several if several in theirs else f"{place}.{head}dconv_2x2.{scale[2]}"
    for ours, their in _PARTS.get(place, _PARTS[""]).items():
        if tail.startswith(ours):
            return f"{place}.{head}{their}{tail[len(ours) :]}"
    return f"{place}.{rest}"


def _value(tensor: Tensor, source: str, part: int | None) -> Tensor:
    if source == _POSITIONS:
        return tensor[:, 1:]  # the first is that of a class token, which nothing reads
    if source == _PROJECTION:
        return tensor.T
    return tensor if part is None else tensor.chunk(3)[part]
