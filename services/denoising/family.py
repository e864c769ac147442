"""The protocol between a family of denoisers and the step loop.

A family turns a request's tensors into branches, the network evaluations of every step, and evaluates rows of
many requests in one forward pass. Noise levels, steps and sharing are the step loop's, which knows no shapes:
latents have any rank, and inputs have names that only the family knows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from services.adapters.cache import AdapterUse
from services.denoising.checkpoint import Checkpoint
from services.denoising.guide import Guide
from services.denoising.hooks import AfterStep
from services.denoising.schedule import ScheduleFactory, ScheduleSpec
from services.refusal import Refusal


@dataclass(frozen=True, eq=False)
class Branch:
    """One network evaluation of each step."""

    inputs: Mapping[str, Tensor]  # of one row, named by the family
    key: Hashable  # rows with equal keys may share a forward pass
    work: int  # latent cells or tokens of the row, the unit of costs and limits; the most at any step

    def at(self, index: int) -> Branch:
        """The branch as it is at a step. A family overrides this where key or work change on the way."""
        return self

    def to(self, device: torch.device) -> Branch:
        """The branch with its inputs on a device."""
        return replace(self, inputs={name: tensor.to(device) for name, tensor in self.inputs.items()})

    def same_inputs_as(self, other: Branch) -> bool:
        """True if the network could only predict the same for both."""
        return self.inputs.keys() == other.inputs.keys() and all(
            torch.equal(tensor, other.inputs[name]) for name, tensor in self.inputs.items()
        )


class Restorable(Protocol):
    """A memory of earlier steps that a checkpoint keeps: a schedule's, or a family's caches."""

    def state(self) -> Mapping[str, Tensor]:
        """The part that a checkpoint keeps."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state` returned after as many steps; raises if that is not possible."""


@dataclass(frozen=True, eq=False)
class BatchRow:
    """A branch at one step of one trajectory."""

    inputs: Mapping[str, Tensor]  # on the family's device
    key: Hashable
    latents: Tensor  # as the network expects them at this level of noise
    timestep: Tensor  # the schedule's, shaped ()
    state: Restorable | None = None  # that the family began the trajectory with
    eager: bool = False  # the network must run as it was loaded


@dataclass(frozen=True, eq=False)
class Request:
    """Everything a trajectory starts from."""

    branches: tuple[Branch, ...]
    guide: Guide
    latents: tuple[int, ...]  # the shape of what is made
    seed: int
    schedule: ScheduleSpec
    size: str  # names the input to blame if this is too large, and its size
    reproducible: bool = False
    preview_every: int = 0
    adapters: tuple[AdapterUse, ...] = ()  # by rising key
    after: tuple[AfterStep, ...] = ()
    draws: tuple[tuple[int, ...], ...] = ()  # shapes of all noise drawn before the first step; () for latents
    start: int = 0  # which of the draws the first step starts from
    carry_bytes: int = 0  # the most that the family's state of the trajectory takes
    checkpoint_every: int = 0
    checkpoint: Checkpoint | None = None  # where to go on from
    identity: str = ""  # a digest of weights and inputs, which a checkpoint must have been made with

    def __post_init__(self) -> None:
        """Refuses checkpoints of a request that could not be told from another."""
        if (self.checkpoint_every or self.checkpoint is not None) and not self.identity:
            raise Refusal(
                "NOT_READY",
                "this model has no checkpoints, since its family sets no `Request.identity`; send the "
                "request without checkpoint and checkpoint_every",
            )

    @property
    def work(self) -> int:
        """The work of its largest row."""
        return max(branch.work for branch in self.branches)

    @property
    def eager(self) -> bool:
        """True if the network must run as it was loaded: adapters are applied, or bytes must not change."""
        return self.reproducible or bool(self.adapters)


class Family(Protocol):
    """A network and how it is evaluated."""

    @property
    def device(self) -> torch.device:
        """The device of the network."""

    @property
    def schedules(self) -> Mapping[str, ScheduleFactory]:
        """The schedules that the network can be used with, by name."""

    def begin(self, request: Request) -> Restorable | None:
        """The family's own state of a new trajectory, which `predict` finds in its rows."""

    def predict(self, rows: Sequence[BatchRow]) -> Tensor | Sequence[Tensor]:
        """The network's predictions, float32 and shaped like the latents.

        Rows have equal keys, and all of them are `eager` or none.
        """

    def sample(self, rows: int, work: int) -> Sequence[BatchRow]:
        """Rows without meaning, about as large as `work`, for measuring what a pass costs."""
