"""A small text transformer put together as OpenCLIP's: PyTorch's own attention, blocks in a row.

Written apart from the conversion it serves to test: what both make of the same words must agree.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, inner), gelu=nn.GELU(), c_proj=nn.Linear(inner, width))
        )

    def forward(self, seen: Tensor, past_only: Tensor) -> Tensor:
        normed = self.ln_1(seen)
        seen = seen + self.attn(normed, normed, normed, need_weights=False, attn_mask=past_only)[0]
        return seen + self.mlp(self.ln_2(seen))


class OpenClip(nn.Module):
    def __init__(self, words: int, length: int, *, width: int, heads: int, inner: int, layers: int) -> None:
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.randn(length, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, width))
        self.logit_scale = nn.Parameter(torch.tensor(2.7))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    @torch.no_grad()
    def penultimate(self, tokens: Tensor) -> Tensor:
        """What pictures are steered by: (batch, length, width) before the last block, normed."""
        past_only = torch.full((tokens.shape[1],) * 2, -torch.inf).triu_(1)
        seen = self.token_embedding(tokens) + self.positional_embedding
        for block in self.transformer.resblocks[:-1]:
            seen = block(seen, past_only)
        return self.ln_final(seen)
