"""A toy family that has nothing of a picture in it: latents of any rank, padded texts, caches and phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from services.denoising.family import BatchRow, Branch, Request
from services.denoising.guide import NormPreservingCfg
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import factories
from tests.services.denoising.test_schedule import FLOW

WIDTH, BUCKET, CHANNELS = 6, 4, 3


@dataclass(frozen=True, eq=False)
class Phased(Branch):
    """A branch that computes everything at first, and half of it later."""

    full_steps: int = 1

    def at(self, index: int) -> Branch:
        if index < self.full_steps:
            return replace(self, key=(self.key, "full"))
        return replace(self, key=(self.key, "half"), work=self.work // 2)


class Cache:
    """The mean of what the network saw at its last full step."""

    def __init__(self) -> None:
        self.mean = torch.zeros(CHANNELS)

    def state(self) -> Mapping[str, Tensor]:
        return {"mean": self.mean}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


class Tokens:
    """Mixes every token or cell with its text and with what its trajectory's cache holds."""

    device = torch.device("cpu")
    schedules = factories(["flow_match"], FLOW)

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(8)
        self.network = nn.Linear(CHANNELS, CHANNELS, bias=False).requires_grad_(False)
        self.network.weight.copy_(torch.randn(CHANNELS, CHANNELS, generator=draws) * 0.5)
        self.project = torch.randn(WIDTH, CHANNELS, generator=draws)
        self.passes: list[tuple[int, Any]] = []  # rows and key of each

    def begin(self, request: Request) -> Cache:
        return Cache()

    def predict(self, rows: Sequence[BatchRow]) -> list[Tensor]:
        self.passes.append((len(rows), rows[0].key))
        assert {row.key for row in rows} == {rows[0].key}
        longest = -(-max(len(row.inputs["text"]) for row in rows) // BUCKET) * BUCKET
        texts = torch.stack([_padded(row.inputs["text"], longest) for row in rows])
        words = (texts @ self.project).sum(dim=1) / torch.tensor([[len(row.inputs["text"])] for row in rows])
        predictions = []
        for row, word in zip(rows, words, strict=True):
            assert isinstance(row.state, Cache)
            if row.key[-1] != "half":
                row.state.mean = row.latents.flatten(0, -2).mean(dim=0)
            level = row.timestep / 1000
            predictions.append(torch.tanh(self.network(row.latents) + word + row.state.mean + level))
        return predictions

    def sample(self, rows: int, work: int) -> list[BatchRow]:
        raise AssertionError("not measured here")


def _padded(text: Tensor, length: int) -> Tensor:
    return torch.cat([text, text.new_zeros(length - len(text), text.shape[1])])


def tokens_request(
    seed: int,
    shape: tuple[int, ...],
    *,
    texts: tuple[int, int] = (5, 2),
    steps: int = 6,
    full_steps: int | None = None,
    **more: Any,
) -> Request:
    """A guided request whose texts have these lengths; latents end in their channels."""
    draws = torch.Generator().manual_seed(seed + 500)
    work = math.prod(shape[:-1])
    branches = []
    for length in texts:
        inputs, key = {"text": torch.randn(length, WIDTH, generator=draws)}, (shape, "text")
        if full_steps is None:
            branches.append(Branch(inputs, key, work))
        else:
            branches.append(Phased(inputs, key, work, full_steps))
    return Request(
        branches=tuple(branches),
        guide=NormPreservingCfg(2.5),
        latents=shape,
        seed=seed,
        schedule=ScheduleSpec("flow_match", steps, shift=0.8),
        size=f"{work} tokens",
        **more,
    )
