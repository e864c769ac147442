"""One request on its way from noise to picture. Everything that changes on that way lives here."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import torch
from torch import Tensor

from services.denoising.family import Request, Rows
from services.denoising.noise import draw_noise
from services.denoising.schedule import SCHEDULES, ScheduleSpec

_turns = itertools.count()


class Trajectory:
    """Latents, a scheduler and dice of its own: no other request can change what becomes of it.

    Latents are float32 whatever the network computes in.
    """

    def __init__(self, request: Request, scheduler_config: dict, device: torch.device) -> None:
        self.request = request
        self.done = 0
        self.turn = next(_turns)
        spec = ScheduleSpec(request.scheduler, request.steps)
        self._schedule = SCHEDULES[request.scheduler](scheduler_config, spec)
        noise, self._generator = draw_noise(request.seed, [request.latents] * (1 + request.draws))
        self.latents = (noise[0][None] * self._schedule.noise_scale).to(device)
        self._timesteps = self._schedule.timesteps.to(device=device, dtype=torch.float32)
        self._clean: Tensor | None = None
        self._text = torch.stack([branch.text for branch in request.branches]).to(device)
        self._condition = torch.stack([branch.condition for branch in request.branches]).to(device)
        self._weights = [branch.weight for branch in request.branches]

    @property
    def steps(self) -> int:
        """How many steps the whole way has; some schedulers take more than were asked for."""
        return len(self._schedule.timesteps)

    @property
    def rows(self) -> int:
        """How many questions it asks at each step."""
        return len(self._weights)

    @property
    def kind(self) -> tuple[Hashable, ...]:
        """Trajectories of one kind fit into one forward pass: shaped alike, with the same adapters."""
        shapes = (self.latents.shape[1:], self._text.shape[1:], self._condition.shape[1:])
        return (*shapes, self.request.adapters)

    def questions(self) -> Rows:
        """What it asks at this step."""
        seen = self._schedule.network_input(self.latents, self.done)
        return Rows(
            latents=seen.expand(self.rows, -1, -1, -1),
            condition=self._condition,
            level=self._timesteps[self.done].expand(self.rows),
            text=self._text,
        )

    def advance(self, answers: Tensor) -> None:
        """Takes the answers to its questions, shaped (rows, channels, height, width), and one step."""
        estimate = answers[:1] * self._weights[0]
        for weight, answer in zip(self._weights[1:], answers[1:], strict=True):
            estimate = estimate + weight * answer
        latents, self._clean = self._schedule.advance(estimate, self.done, self.latents, self._generator)
        self.latents = latents.float()
        self.done += 1
        self.turn = next(_turns)

    def clean_estimate(self) -> Tensor:
        """The clean latents as seen from here, (channels, height, width)."""
        if self._clean is None:
            raise RuntimeError("no step has been taken yet")
        return self._clean[0]


def joined(trajectories: list[Trajectory]) -> Rows:
    """The questions of several trajectories of one kind as one pass."""
    asked = [trajectory.questions() for trajectory in trajectories]
    return Rows(
        latents=torch.cat([rows.latents for rows in asked]),
        condition=torch.cat([rows.condition for rows in asked]),
        level=torch.cat([rows.level for rows in asked]),
        text=torch.cat([rows.text for rows in asked]),
    )
