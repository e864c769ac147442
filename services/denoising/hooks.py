"""Hooks after a step: they may change the latents before the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from services.denoising.step import Step


class AfterStep(Protocol):
    """Changes a trajectory's latents after each of its steps.

    Gradients are off when it is called. One that follows a gradient enables them for tensors of its own.
    """

    @property
    def work(self) -> int:
        """The cost of a call, as the work of a row of the network."""

    @property
    def nbytes(self) -> int:
        """The memory it holds from admission to the end."""

    def __call__(self, latents: Tensor, clean: Tensor, step: Step) -> Tensor:
        """The latents to go on with; `clean` is the clean estimate of the step."""


@dataclass(frozen=True, eq=False)
class PinKnown:
    """Puts known latents back after every step, as noisy as the step has them."""

    known: Tensor  # clean
    made: Tensor  # 1 where something is made, 0 where the latents are known; broadcasts to them
    work: int = 0

    @property
    def nbytes(self) -> int:
        return self.known.nbytes + self.made.nbytes

    def __call__(self, latents: Tensor, clean: Tensor, step: Step) -> Tensor:
        known, made = self.known.to(latents), self.made.to(latents)
        return (1 - made) * step.noised(known) + made * latents
