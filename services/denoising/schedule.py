"""Schedules: the way from noise to a picture in steps.

A schedule remembers earlier steps where its method needs them, so each trajectory has its own. Its tables
stay on the host: looking up a level must not wait for a device. Latents are shaped (1, ...).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from services.denoising import prediction

Config = Mapping[str, Any]  # a bundle's scheduler_config.json

_LONGEST_HISTORY = 8  # latents that a schedule's method may keep


@dataclass(frozen=True)
class ScheduleSpec:
    """The schedule that a request asks for."""

    name: str
    steps: int
    shift: float | None = None  # of flow matching: how much longer the noisy levels last, see `shift_for`


class Schedule(ABC):
    """A diffusers scheduler set to a number of steps."""

    scheduler: ClassVar[Any]  # diffusers' class
    settings: ClassVar[Config] = {}  # that hold whatever a bundle's config says
    counters: ClassVar[tuple[str, ...]] = ()  # names of the scheduler's own memory: whole numbers or None
    tensors: ClassVar[tuple[str, ...]] = ()  # latents or None
    histories: ClassVar[tuple[str, ...]] = ()  # lists of latents

    def __init__(self, config: Config, spec: ScheduleSpec) -> None:
        self._scheduler = self.scheduler.from_config(config, **self.settings)
        self._set_steps(spec)
        self.timesteps: Tensor = self._scheduler.timesteps

    @property
    def noise_scale(self) -> float:
        """The factor of the noise that the first step starts from."""
        return float(self._scheduler.init_noise_sigma)

    def network_input(self, latents: Tensor, index: int) -> Tensor:
        """The latents as the network expects them at this step."""
        return self._scheduler.scale_model_input(latents, self.timesteps[index])

    @abstractmethod
    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The latents after this step, and the clean estimate."""

    @abstractmethod
    def level(self, index: int) -> tuple[Tensor, Tensor]:
        """Signal and sigma of the latents before this step."""

    def noised(self, clean: Tensor, noise: Tensor, index: int) -> Tensor:
        """Clean latents, as noisy as latents are before this step; after the last step they stay clean."""
        return clean if index == len(self.timesteps) else prediction.noised(clean, noise, *self.level(index))

    def takes(self, steps: int, trained: int) -> bool:
        """True if no step lies outside the levels the network was trained at, and no two at the same."""
        levels = self.timesteps.tolist()
        return max(levels) <= trained - 1 and len(set(levels)) == steps

    def state(self) -> dict[str, Tensor]:
        """The memory of earlier steps, to be given to `restore`."""
        memory = vars(self._scheduler)
        counters = [memory.get(name) for name in self.counters]
        state = {
            "counters": torch.tensor(
                [-1 if count is None else int(count) for count in counters], dtype=torch.int64
            )
        }
        state |= {name: memory[name] for name in self.tensors if memory[name] is not None}
        for name in self.histories:
            state |= {f"{name}.{i}": each for i, each in enumerate(memory[name]) if each is not None}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes the memory of another schedule of the same kind and steps, which made at least one.

        Raises ValueError or KeyError if it is that of another kind.
        """
        counters = state["counters"]
        if counters.dtype != torch.int64 or counters.shape != (len(self.counters),):
            raise ValueError("holds counters of another kind")
        for name, count in zip(self.counters, counters.tolist(), strict=True):
            if not -1 <= count <= len(self.timesteps):
                raise ValueError(f"{name} cannot be {count}")
            setattr(self._scheduler, name, None if count < 0 else count)
        for name in self.tensors:
            setattr(self._scheduler, name, state.get(name))
        for name in self.histories:
            length = 1 + max((i for i in range(_LONGEST_HISTORY) if f"{name}.{i}" in state), default=-1)
            history = [state.get(f"{name}.{i}") for i in range(length)]
            setattr(self._scheduler, name, history)
        if self.state().keys() != state.keys():
            raise ValueError(f"holds {', '.join(state)}, which another schedule keeps")

    def _set_steps(self, spec: ScheduleSpec) -> None:
        self._scheduler.set_timesteps(spec.steps, device="cpu")


ScheduleFactory = Callable[[ScheduleSpec], Schedule]
