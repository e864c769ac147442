"""Initial weights of SAM with which an untrained decoder already attends to the place of the click.

From the stock initial weights it learns "everything in front" and ignores the click. Three things prevent
that. Queries and keys between tokens and image begin as the same rotation, so their product is the similarity
of positions: a click attends to its own place. What would outweigh that (tokens, norms, the embedding for no
mask) begins small. And during training the features also predict what is where (`AuxiliaryHeads`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn


@torch.no_grad()
def initialise(sam: SAM2Base) -> None:
    """Change the initial weights in place."""
    decoder, prompts = sam.sam_mask_decoder, sam.sam_prompt_encoder
    layers = decoder.transformer.layers
    between = [decoder.transformer.final_attn_token_to_image]
    for layer in layers:
        between += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
        layer.cross_attn_image_to_token.out_proj.weight *= 5
        layer.cross_attn_token_to_image.out_proj.weight *= 3
        for norm, size in ((layer.norm1, 0.3), (layer.norm2, 0.4), (layer.norm3, 0.4)):
            norm.weight.fill_(size)
    for attention in between:
        nn.init.orthogonal_(attention.q_proj.weight, gain=3.0)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        attention.q_proj.bias.zero_()
        attention.k_proj.bias.zero_()
    for table in (*prompts.point_embeddings, prompts.not_a_point_embed):
        table.weight *= 0.15
    for table in (decoder.iou_token, decoder.mask_tokens, decoder.obj_score_token):
        table.weight *= 0.15
    prompts.no_mask_embed.weight *= 0.1
    for network in decoder.output_hypernetworks_mlps:
        for linear in network.layers:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
    # Things are present until the network has learnt otherwise: an absent one loses its place in memory.
    decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)


@torch.no_grad()
def fit_memory(sam: SAM2Base, coarse: Tensor) -> None:
    """Fit the memory, in place, to the coarse features (n, c, h, w) as stills have shaped them.

    Done once, before the first clip. By then the features have magnitudes of some tens; the output of the
    memory attention is normalised to one, so the decoder would not notice it, and in the memory the picture
    outweighs the mask. After this the features of a tracked frame have the statistics of a still's, plus the
    memory; picture and mask have the same magnitude in the memory; and every place first attends to the same
    place of earlier frames.
    """
    features = coarse + sam.no_mem_embed.view(1, -1, 1, 1)
    mean, spread = features.mean((0, 2, 3)), features.std((0, 2, 3))
    normal = F.layer_norm(features.movedim(1, -1), mean.shape).flatten(0, -2)
    norm = sam.memory_attention.norm
    norm.weight.copy_(spread / normal.std(0))
    norm.bias.copy_(mean - norm.weight * normal.mean(0))
    projection = sam.memory_encoder.pix_feat_proj
    output = projection(coarse)
    size = output.std((0, 2, 3))
    projection.bias.copy_((projection.bias - output.mean((0, 2, 3))) / size)
    projection.weight /= size.view(-1, 1, 1, 1)
    for layer in sam.memory_attention.layers:
        attention = layer.cross_attn_image
        attention.out_proj.weight *= 3 * spread[:, None]
        near = _same_place_bias(attention.internal_dim).to(coarse.device)
        for linear in (attention.q_proj, attention.k_proj):
            linear.weight *= 0.5
            linear.bias.copy_(near)


def _same_place_bias(width: int) -> Tensor:
    """A constant that, in queries and keys alike, makes rotary attention prefer the same place.

    Rotary pairs turn with distance, the first of each axis fastest: those distinguish neighbours.
    """
    pairs = torch.zeros(2, width // 4, 2)
    pairs[:, : width // 12] = 2.2
    return pairs.flatten()


class AuxiliaryHeads(nn.Module):
    """Two heads on the image features, used in training only.

    At stride 4: presence and colour of a thing. At stride 16: presence and the direction of its middle.
    """

    def __init__(self, fine: int, coarse: int):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(fine, 4, 1), nn.Conv2d(coarse, 3, 1)

    def forward(self, fine: Tensor, coarse: Tensor, x: Tensor, masks: list[Tensor]) -> Tensor:
        """`fine` and `coarse` are features; `x` (n, 3, s, s) the input; `masks` one (k, s, s) for each."""
        front, colour, offset = _targets(x, masks)
        near, far = x.shape[-1] // fine.shape[-1], x.shape[-1] // coarse.shape[-1]
        output, small = self.fine(fine), F.avg_pool2d(front, near)
        loss = F.binary_cross_entropy_with_logits(output[:, :1], small)
        loss = loss + 3 * ((output[:, 1:] - F.avg_pool2d(colour, near)).square() * small).mean()
        output, small = self.coarse(coarse), F.avg_pool2d(front, far)
        middle = F.avg_pool2d(offset, far) / (small + 1e-3)
        loss = loss + F.binary_cross_entropy_with_logits(output[:, :1], small)
        return loss + 6 * ((output[:, 1:] - middle).square() * small).mean()


def _targets(x: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Per pixel: presence of a thing (n, 1), its mean colour (n, 3), the offset to its middle (n, 2)."""
    side = x.shape[-1]
    front, colour, offset = (x.new_zeros(len(x), channels, side, side) for channels in (1, 3, 2))
    steps = torch.arange(side, device=x.device, dtype=x.dtype) * (5.0 / side)
    for place, things in enumerate(masks):
        for thing in things:
            share = thing / thing.sum().clamp(min=1)
            front[place, 0] = torch.maximum(front[place, 0], thing)
            colour[place] += thing * (x[place] * share).sum((1, 2))[:, None, None]
            offset[place, 0] += thing * ((share.sum(0) * steps).sum() - steps)[None, :]
            offset[place, 1] += thing * ((share.sum(1) * steps).sum() - steps)[:, None]
    return front, colour, offset
