"""One step of a trajectory, as guidance and hooks see it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from services.denoising.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Step:
    """A step that is being taken."""

    index: int  # from 0
    schedule: Schedule
    noise: Tensor  # that the trajectory started from, shaped like the latents

    @property
    def steps(self) -> int:
        """The number of steps of the whole trajectory."""
        return len(self.schedule.timesteps)

    def noised(self, clean: Tensor) -> Tensor:
        """Clean latents, as noisy as the trajectory's are after this step."""
        return self.schedule.noised(clean, self.noise, self.index + 1)
