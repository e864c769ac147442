"""The algebra of a network's prediction: noisy latents, the target of training, and the clean estimate.

Noisy latents are `signal * clean + sigma * noise`. Kinds have diffusers' names: `epsilon` predicts the noise,
`sample` the clean latents, `v_prediction` the velocity between them where signal² + sigma² = 1, and
`flow_prediction` the straight way from the clean latents to the noise where signal + sigma = 1.
"""

from __future__ import annotations

from torch import Tensor

KINDS = ("epsilon", "sample", "v_prediction", "flow_prediction")

Level = Tensor | float


def noised(clean: Tensor, noise: Tensor, signal: Level, sigma: Level) -> Tensor:
    """Clean latents at a level of noise."""
    return signal * clean + sigma * noise


def target(kind: str, clean: Tensor, noise: Tensor, signal: Level, sigma: Level) -> Tensor:
    """The tensor that a perfect network predicts."""
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return clean
    if kind == "v_prediction":
        return signal * noise - sigma * clean
    if kind == "flow_prediction":
        return noise - clean
    raise ValueError(f"prediction {kind!r} is none of {', '.join(KINDS)}")


def clean_estimate(kind: str, noisy: Tensor, prediction: Tensor, signal: Level, sigma: Level) -> Tensor:
    """The clean latents, if the prediction is right."""
    if kind == "epsilon":
        return (noisy - sigma * prediction) / signal
    if kind == "sample":
        return prediction
    if kind == "v_prediction":
        return signal * noisy - sigma * prediction
    if kind == "flow_prediction":
        return noisy - sigma * prediction
    raise ValueError(f"prediction {kind!r} is none of {', '.join(KINDS)}")
