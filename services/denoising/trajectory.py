"""One request on its way from noise to a picture. Everything that changes on that way lives here."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from services.denoising.checkpoint import Checkpoint, damaged
from services.denoising.family import BatchRow, Family, Request
from services.denoising.noise import draw_noise
from services.denoising.step import Step

_turns = itertools.count()


class Trajectory:
    """Latents with a schedule and a random generator of their own: no other request can change the result.

    Latents are float32 whatever the network computes in.
    """

    def __init__(self, request: Request, family: Family) -> None:
        device = family.device
        self.request = request
        self.done = 0
        self.turn = next(_turns)
        self._schedule = family.schedules[request.schedule.name](request.schedule)
        draws, self._generator = draw_noise(request.seed, request.draws or (request.latents,))
        self._noise = draws[request.start].to(device)
        self.latents = (draws[request.start][None] * self._schedule.noise_scale).to(device)
        self._timesteps = self._schedule.timesteps.to(device=device, dtype=torch.float32)
        self._branches = [branch.to(device) for branch in request.branches]
        self._state = family.begin(request)
        self._clean: Tensor | None = None
        if request.checkpoint is not None:
            self._restore(request.checkpoint, device)

    @property
    def steps(self) -> int:
        """The number of steps; some schedules take more than requested."""
        return len(self._timesteps)

    @property
    def work(self) -> int:
        """The work of the largest row of the next step."""
        return max(branch.at(self.done).work for branch in self._branches)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Trajectories with equal keys may share the next forward pass."""
        return (frozenset(branch.at(self.done).key for branch in self._branches), self.request.adapters)

    def rows(self) -> list[BatchRow]:
        """The rows of the next step, one for each branch."""
        latents = self._schedule.network_input(self.latents, self.done)[0]
        branches = (branch.at(self.done) for branch in self._branches)
        timestep = self._timesteps[self.done]
        eager = self.request.eager
        return [
            BatchRow(branch.inputs, branch.key, latents, timestep, self._state, eager) for branch in branches
        ]

    def advance(self, predictions: Sequence[Tensor]) -> None:
        """Takes a step by the predictions for its rows."""
        step = Step(self.done, self._schedule, self._noise)
        predicted = self.request.guide(predictions, step)[None]
        latents, clean = self._schedule.advance(predicted, self.done, self.latents, self._generator)
        latents = latents.float()
        for hook in self.request.after:
            latents = hook(latents[0], clean[0], step)[None]
        self.latents, self._clean = latents, clean
        self.done += 1
        self.turn = next(_turns)

    def clean_estimate(self) -> Tensor:
        """The clean latents as the last step estimated them."""
        if self._clean is None:
            raise RuntimeError("no step has been taken yet")
        return self._clean[0]

    def checkpoint(self) -> Checkpoint:
        """The trajectory as it is now. A trajectory that takes it up goes on to the same bytes."""
        return Checkpoint(
            identity=self.request.identity,
            done=self.done,
            latents=self.latents[0],
            generator=self._generator.get_state(),
            schedule=self._schedule.state(),
            family={} if self._state is None else self._state.state(),
        )

    def _restore(self, checkpoint: Checkpoint, device: torch.device) -> None:
        checkpoint.check(self.request.identity, self.request.latents, self.steps)
        schedule, family = (
            {name: tensor.to(device) for name, tensor in part.items()}
            for part in (checkpoint.schedule, checkpoint.family)
        )
        try:
            self._generator.set_state(checkpoint.generator)
            self._schedule.restore(schedule)
            if self._state is not None:
                self._state.restore(family)
            elif family:
                raise ValueError(f"holds {', '.join(family)}, which another family keeps")
        except (RuntimeError, TypeError, ValueError, KeyError, IndexError) as problem:
            raise damaged(problem) from problem
        self.latents = checkpoint.latents[None].to(device)
        self.done = checkpoint.done
