"""What a family of denoisers is to the step loop.

A family turns a request's tensors into branches, the questions asked of the network at every step, and
answers many such questions in one forward pass. Everything else (noise levels, steps, who shares a pass
with whom) is none of its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from services.adapters.cache import AdapterUse


@dataclass(frozen=True, eq=False)
class Branch:
    """One question asked at every step, and what its answer counts.

    The step's estimate is the weighted sum of the answers; the weights of a request add up to one.
    """

    weight: float
    text: Tensor  # (tokens, width)
    condition: Tensor  # (channels, height, width), set beside the latents

    def same_inputs_as(self, other: Branch) -> bool:
        """True if the network could only give both the same answer."""
        return torch.equal(self.text, other.text) and torch.equal(self.condition, other.condition)


@dataclass(frozen=True, eq=False)
class Rows:
    """The questions of one forward pass, which may come from many requests at different noise levels."""

    latents: Tensor  # (rows, channels, height, width), scaled for the network
    condition: Tensor  # (rows, channels, height, width)
    level: Tensor  # (rows,), the scheduler's time of each
    text: Tensor  # (rows, tokens, width)


@dataclass(frozen=True, eq=False)
class Request:
    """What a trajectory starts from."""

    branches: tuple[Branch, ...]
    latents: tuple[int, int, int]  # (channels, height, width) of what is made
    seed: int
    steps: int
    scheduler: str
    reproducible: bool = False
    preview_every: int = 0
    adapters: tuple[AdapterUse, ...] = ()  # in the order of their keys
    draws: int = 0  # of noise like the latents', that the conditions took from the dice after the first


class Family(Protocol):
    """A network and how it is asked."""

    @property
    def device(self) -> torch.device:
        """Where the network lives."""

    @property
    def scheduler_config(self) -> dict:
        """The bundle's scheduler, in diffusers' words."""

    def predict(self, rows: Rows) -> Tensor:
        """The network's answers, float32 (rows, channels, height, width)."""

    def sample(self, rows: int, side: int) -> Rows:
        """Questions of no meaning, for measuring what a pass costs; `side` is in latent pixels."""


def needed_branches(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """The branches that can matter: equal questions are asked once, those that count nothing never."""
    kept: list[Branch] = []
    for branch in branches:
        twin = next((i for i, other in enumerate(kept) if other.same_inputs_as(branch)), None)
        if twin is None:
            kept.append(branch)
        else:
            other = kept[twin]
            kept[twin] = Branch(other.weight + branch.weight, other.text, other.condition)
    return tuple(branch for branch in kept if branch.weight != 0.0)
