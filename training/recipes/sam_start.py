"""How SAM starts: a decoder that looks where the click is, before it has learnt anything.

From the stock start it settles on "everything in front" and ignores the click. Three things end that.
Queries and keys between tokens and image start as the same rotation, so their product is the likeness of
positions: a click attends to its own place. What would drown that (tokens, norms, the embedding for no
mask) starts small. And while it learns, the features also answer what is where (`Scaffold`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn


@torch.no_grad()
def start(sam: SAM2Base) -> None:
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
    # Every thing is there until the network has learnt to tell: an absent one loses its place in memory.
    decoder.pred_obj_score_head.layers[-1].bias.fill_(3.0)


@torch.no_grad()
def meet(sam: SAM2Base, coarse: Tensor) -> None:
    """Fit the memory, in place, to the coarse features (n, c, h, w) as stills have shaped them.

    Done once, before the first clip. By then features have a size of their own, some tens; what comes
    out of the memory is normalised to one, so the decoder would not see it, and the mask in a memory is
    drowned by the picture in it. After this a followed frame reaches the decoder looking as a still does,
    plus what the memory has to say; picture and mask are remembered equally loud; and every place first
    asks what was in the same place before.
    """
    known = coarse + sam.no_mem_embed.view(1, -1, 1, 1)
    mean, spread = known.mean((0, 2, 3)), known.std((0, 2, 3))
    normal = F.layer_norm(known.movedim(1, -1), mean.shape).flatten(0, -2)
    norm = sam.memory_attention.norm
    norm.weight.copy_(spread / normal.std(0))
    norm.bias.copy_(mean - norm.weight * normal.mean(0))
    shown = sam.memory_encoder.pix_feat_proj
    said = shown(coarse)
    size = said.std((0, 2, 3))
    shown.bias.copy_((shown.bias - said.mean((0, 2, 3))) / size)
    shown.weight /= size.view(-1, 1, 1, 1)
    for layer in sam.memory_attention.layers:
        attention = layer.cross_attn_image
        attention.out_proj.weight *= 3 * spread[:, None]
        near = _nearness(attention.internal_dim).to(coarse.device)
        for linear in (attention.q_proj, attention.k_proj):
            linear.weight *= 0.5
            linear.bias.copy_(near)


def _nearness(width: int) -> Tensor:
    """A constant that, in queries and keys alike, makes rotary attention prefer the same place.

    Rotary pairs turn with distance, the first of each axis fastest: those tell neighbours apart.
    """
    pairs = torch.zeros(2, width // 4, 2)
    pairs[:, : width // 12] = 2.2
    return pairs.flatten()


class Scaffold(nn.Module):
    """Two extra questions to the image features, taken away before the network is kept.

    At stride 4: is something here, in which colour? At stride 16: is something here, and in which
    direction is its middle?
    """

    def __init__(self, fine: int, coarse: int):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(fine, 4, 1), nn.Conv2d(coarse, 3, 1)

    def forward(self, fine: Tensor, coarse: Tensor, x: Tensor, masks: list[Tensor]) -> Tensor:
        """`fine` and `coarse` are features; `x` (n, 3, s, s) the input; `masks` one (k, s, s) for each."""
        front, colour, offset = _questions(x, masks)
        near, far = x.shape[-1] // fine.shape[-1], x.shape[-1] // coarse.shape[-1]
        said, small = self.fine(fine), F.avg_pool2d(front, near)
        loss = F.binary_cross_entropy_with_logits(said[:, :1], small)
        loss = loss + 3 * ((said[:, 1:] - F.avg_pool2d(colour, near)).square() * small).mean()
        said, small = self.coarse(coarse), F.avg_pool2d(front, far)
        middle = F.avg_pool2d(offset, far) / (small + 1e-3)
        loss = loss + F.binary_cross_entropy_with_logits(said[:, :1], small)
        return loss + 6 * ((said[:, 1:] - middle).square() * small).mean()


def _questions(x: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """What is in front (n, 1), its mean colour (n, 3), the way to its middle (n, 2), per pixel."""
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
