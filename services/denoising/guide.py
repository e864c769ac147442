"""Guidance: how the predictions of a request's branches become the one that its schedule steps by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from services.denoising.step import Step

if TYPE_CHECKING:
    from services.denoising.family import Branch

Guide = Callable[[Sequence[Tensor], Step], Tensor]  # (a prediction for each branch, step) -> the one used

Weight = float | tuple[float, ...]  # of a branch: the same at all steps, or one for each


@dataclass(frozen=True)
class WeightedSum:
    """The weighted sum of the predictions."""

    weights: tuple[Weight, ...]

    def __call__(self, predictions: Sequence[Tensor], step: Step) -> Tensor:
        now = [weight[step.index] if isinstance(weight, tuple) else weight for weight in self.weights]
        total = predictions[0] * now[0]
        for weight, prediction in zip(now[1:], predictions[1:], strict=True):
            total = total + weight * prediction
        return total


def weighted_sum(weighted: Sequence[tuple[Weight, Branch]]) -> tuple[tuple[Branch, ...], WeightedSum]:
    """The branches that a weighted sum needs: equal ones are merged, those of weight 0 dropped."""
    needed: list[tuple[Weight, Branch]] = []
    for weight, branch in weighted:
        twin = next((i for i, (_, other) in enumerate(needed) if other.same_inputs_as(branch)), None)
        if twin is None:
            needed.append((weight, branch))
        else:
            needed[twin] = (_added(needed[twin][0], weight), needed[twin][1])
    needed = [(weight, branch) for weight, branch in needed if weight != 0.0 and any(_each(weight))]
    return tuple(branch for _, branch in needed), WeightedSum(tuple(weight for weight, _ in needed))


def token_length(prediction: Tensor) -> Tensor:
    """The length of each token of a prediction (..., tokens, channels), to be multiplied with it."""
    return torch.linalg.vector_norm(prediction, dim=-1, keepdim=True)


@dataclass(frozen=True)
class NormPreservingCfg:
    """Classifier-free guidance that keeps the length of the guided prediction.

    Predictions are of the prompt and, unless the guidance is 1, of the negative prompt. `length` returns
    lengths that broadcast to a prediction; a family whose latents are not tokens gives its own.
    """

    guidance: float
    length: Callable[[Tensor], Tensor] = token_length

    def __call__(self, predictions: Sequence[Tensor], step: Step) -> Tensor:
        if len(predictions) == 1:
            return predictions[0]
        prompted, negative = predictions
        guided = negative + self.guidance * (prompted - negative)
        return guided * (self.length(prompted) / self.length(guided))


def _each(weight: Weight) -> tuple[float, ...]:
    return weight if isinstance(weight, tuple) else (weight,)


def _added(one: Weight, other: Weight) -> Weight:
    if not isinstance(one, tuple) and not isinstance(other, tuple):
        return one + other
    steps = max(len(_each(one)), len(_each(other)))
    first, second = (each if isinstance(each, tuple) else (each,) * steps for each in (one, other))
    return tuple(a + b for a, b in zip(first, second, strict=True))
