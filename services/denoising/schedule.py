"""The rules that walk from noise to picture: diffusers' own, chosen by name."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import torch
from torch import Tensor

CLASSES: dict[str, type] = {
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "dpm_solver": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "pndm": diffusers.PNDMScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
}
# The slow start of PNDM is for networks of pixels: pipelines of latents leave it out, whatever a config says.
_SET = {"pndm": {"skip_prk_steps": True}}


def name_of(config: dict) -> str:
    """The name of a bundle's own scheduler; ValueError if it is none of ours."""
    for name, kind in CLASSES.items():
        if kind.__name__ == config.get("_class_name"):
            return name
    raise ValueError(f"the bundle's scheduler {config.get('_class_name')!r} is none of {', '.join(CLASSES)}")


def most_steps(name: str, config: dict) -> int:
    """How many steps a scheduler can take with this config.

    Fewer than the network was trained with where the last of them would lie beyond the end, or two of
    them at the same level; where a scheduler takes one step more than it is asked for, that one is.
    """
    trained = int(config.get("num_train_timesteps", 1000))
    for steps in range(trained, 0, -1):
        levels = Schedule(name, config, steps).levels.tolist()
        if max(levels) <= trained - 1 and len(set(levels)) == steps:
            return steps
    raise ValueError(f"{name} cannot take a single step with the bundle's config")


class Schedule:
    """One scheduler set to a number of steps; it remembers where it is, so each trajectory has its own.

    Its tables stay on the host: looking a level up must not wait for a device.
    """

    def __init__(self, name: str, config: dict, steps: int) -> None:
        self._scheduler: Any = CLASSES[name].from_config(config, **_SET.get(name, {}))  # type: ignore[attr-defined]
        self._scheduler.set_timesteps(steps, device="cpu")
        self.levels: Tensor = self._scheduler.timesteps
        self.noise_scale = float(self._scheduler.init_noise_sigma)
        takes = inspect.signature(self._scheduler.step).parameters
        self._takes_dice = "generator" in takes
        self._clean_estimate: Tensor | None = None

    def network_input(self, latents: Tensor, index: int) -> Tensor:
        """The latents as the network wants to see them at this step."""
        return self._scheduler.scale_model_input(latents, self.levels[index])

    def advance(self, estimate: Tensor, index: int, latents: Tensor, dice: torch.Generator) -> Tensor:
        """The latents one step nearer to the picture."""
        chance = {"generator": dice} if self._takes_dice else {}
        result = self._scheduler.step(estimate, self.levels[index], latents, **chance)
        self._clean_estimate = self._clean(result, estimate, self.levels[index], latents)
        return result.prev_sample

    def clean_estimate(self) -> Tensor:
        """The clean latents as the last step foresaw them."""
        if self._clean_estimate is None:
            raise RuntimeError("nothing is foreseen before the first step")
        return self._clean_estimate

    def _clean(self, result: Any, estimate: Tensor, level: Tensor, latents: Tensor) -> Tensor:
        told = getattr(result, "pred_original_sample", None)
        if told is not None:
            return told
        if hasattr(self._scheduler, "model_outputs"):  # solvers that keep their last one, and tell it not
            return self._scheduler.model_outputs[-1]
        share = self._scheduler.alphas_cumprod[level]  # of the clean latents' variance
        clean, noise = share.sqrt(), (1 - share).sqrt()
        if self._scheduler.config.prediction_type == "v_prediction":
            return clean * latents - noise * estimate
        return (latents - noise * estimate) / clean
