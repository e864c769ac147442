"""Thin wrappers around diffusers' schedulers, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import diffusers
import torch
from torch import Tensor

from services.denoising import prediction
from services.denoising.schedule import Config, Schedule, ScheduleFactory, ScheduleSpec


class _ByAlphas(Schedule):
    """Levels of noise are kept as the signal's share of the variance, by training step."""

    def level(self, index: int) -> tuple[Tensor, Tensor]:
        share = self._scheduler.alphas_cumprod[self.timesteps[index]]
        return share.sqrt(), (1 - share).sqrt()


class _BySigmas(Schedule):
    """Levels of noise are kept as the noise beside a signal of one, by step."""

    counters = ("_step_index",)

    def level(self, index: int) -> tuple[Tensor, Tensor]:
        sigma = self._scheduler.sigmas[index]
        return torch.ones_like(sigma), sigma


class _WithGenerator(Schedule):
    """Steps may draw noise, and return their clean estimate."""

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        step = self._scheduler.step(predicted, self.timesteps[index], latents, generator=generator)
        return step.prev_sample, step.pred_original_sample


class Ddim(_WithGenerator, _ByAlphas):
    scheduler = diffusers.DDIMScheduler


class Ddpm(_WithGenerator, _ByAlphas):
    scheduler = diffusers.DDPMScheduler


class Euler(_WithGenerator, _BySigmas):
    scheduler = diffusers.EulerDiscreteScheduler


class EulerAncestral(_WithGenerator, _BySigmas):
    scheduler = diffusers.EulerAncestralDiscreteScheduler


class _Multistep(Schedule):
    """Steps extrapolate from the last clean estimates, which the scheduler keeps."""

    counters: ClassVar[tuple[str, ...]] = ("_step_index", "lower_order_nums")
    histories = ("model_outputs",)

    def level(self, index: int) -> tuple[Tensor, Tensor]:
        return self._scheduler._sigma_to_alpha_sigma_t(self._scheduler.sigmas[index])


class DpmSolver(_Multistep):
    scheduler = diffusers.DPMSolverMultistepScheduler

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        step = self._scheduler.step(predicted, self.timesteps[index], latents, generator=generator)
        return step.prev_sample, self._scheduler.model_outputs[-1]


class UniPc(_Multistep):
    scheduler = diffusers.UniPCMultistepScheduler
    counters = ("_step_index", "lower_order_nums", "this_order")
    tensors = ("last_sample",)

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        step = self._scheduler.step(predicted, self.timesteps[index], latents)
        return step.prev_sample, self._scheduler.model_outputs[-1]


class Pndm(_ByAlphas):
    """Pseudo numerical methods. Takes one step more than requested."""

    scheduler = diffusers.PNDMScheduler
    # Its slow start is for networks of pixels: pipelines of latents leave it out, whatever a config says.
    settings: ClassVar[Config] = {"skip_prk_steps": True}
    counters = ("counter",)
    tensors = ("cur_sample",)
    histories = ("ets",)

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        kind = self._scheduler.config.prediction_type
        clean = prediction.clean_estimate(kind, latents, predicted, *self.level(index))
        return self._scheduler.step(predicted, self.timesteps[index], latents).prev_sample, clean


class FlowMatch(_BySigmas):
    """Straight ways from noise to picture: the network predicts noise less picture."""

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler
    noise_scale = 1.0

    def network_input(self, latents: Tensor, index: int) -> Tensor:
        return latents

    def level(self, index: int) -> tuple[Tensor, Tensor]:
        sigma = self._scheduler.sigmas[index]
        return 1 - sigma, sigma

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        clean = prediction.clean_estimate("flow_prediction", latents, predicted, *self.level(index))
        step = self._scheduler.step(predicted, self.timesteps[index], latents, generator=generator)
        return step.prev_sample, clean

    def takes(self, steps: int, trained: int) -> bool:
        levels = self.timesteps
        return bool(torch.isfinite(levels).all()) and len(set(levels.tolist())) == steps

    def _set_steps(self, spec: ScheduleSpec) -> None:
        if not self._scheduler.config.use_dynamic_shifting:
            self._scheduler.set_timesteps(spec.steps, device="cpu")
            return
        if spec.shift is None:
            raise ValueError("this flow schedule needs a shift: see `shift_for`")
        even = torch.linspace(1.0, 1 / spec.steps, spec.steps, dtype=torch.float64)  # as pipelines have it
        self._scheduler.set_timesteps(sigmas=even.tolist(), mu=spec.shift, device="cpu")


class CogVideoXDdim(_ByAlphas):
    scheduler = diffusers.CogVideoXDDIMScheduler

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        step = self._scheduler.step(predicted, self.timesteps[index], latents)
        return step.prev_sample, step.pred_original_sample


class CogVideoXDpm(_ByAlphas):
    """Its scheduler is given the clean estimate of the step before, instead of keeping it."""

    scheduler = diffusers.CogVideoXDPMScheduler

    def __init__(self, config: Config, spec: ScheduleSpec) -> None:
        super().__init__(config, spec)
        self._clean: Tensor | None = None

    def advance(
        self, predicted: Tensor, index: int, latents: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        before = self.timesteps[index - 1] if index else None
        latents, clean = self._scheduler.step(
            predicted,
            self._clean,
            self.timesteps[index],
            before,
            latents,
            generator=generator,
            return_dict=False,
        )
        self._clean = clean
        return latents, clean

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), **({} if self._clean is None else {"clean": self._clean})}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._clean = state["clean"]
        super().restore(state)


SCHEDULES: dict[str, type[Schedule]] = {
    "cogvideox_ddim": CogVideoXDdim,
    "cogvideox_dpm": CogVideoXDpm,
    "ddim": Ddim,
    "ddpm": Ddpm,
    "dpm_solver": DpmSolver,
    "euler": Euler,
    "euler_ancestral": EulerAncestral,
    "flow_match": FlowMatch,
    "pndm": Pndm,
    "unipc": UniPc,
}
# Those that any network of latents takes which predicts noise, velocity or the clean latents.
DIFFUSION = ("ddim", "ddpm", "dpm_solver", "euler", "euler_ancestral", "pndm", "unipc")


def factories(names: Sequence[str], config: Config) -> dict[str, ScheduleFactory]:
    """The schedules of these names, as a bundle's config sets them."""
    return {name: partial(SCHEDULES[name], config) for name in names}


def name_of(config: Config, names: Sequence[str] = DIFFUSION) -> str:
    """The name of a bundle's own scheduler; ValueError if it is none of these."""
    for name in names:
        if SCHEDULES[name].scheduler.__name__ == config.get("_class_name"):
            return name
    raise ValueError(f"the bundle's scheduler {config.get('_class_name')!r} is none of {', '.join(names)}")


def most_steps(name: str, config: Config, shift: float | None = None) -> int:
    """The most steps that a schedule can take with this config.

    Fewer than the network was trained with where the last of them would lie beyond the end, or two of
    them at the same level; where a schedule takes one step more than requested, that one is.
    """
    trained = int(config.get("num_train_timesteps", 1000))
    for steps in range(trained, 0, -1):
        if SCHEDULES[name](config, ScheduleSpec(name, steps, shift)).takes(steps, trained):
            return steps
    raise ValueError(f"{name} cannot take a single step with the bundle's config")


def shift_for(config: Config, tokens: int) -> float:
    """The shift of flow matching for a picture of so many tokens, as pipelines have it."""
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (most - least) / (many - few)
    return tokens * slope + (least - slope * few)
