"""A training loop that can be killed at any time and then continues from its last saved state.

The batch of a step is a function of the step's number only, so a resumed training gets the same batches.
With a budget in steps the weights are the same, too.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.recipes.budget import Budget, rate

LossFunction = Callable[[int, float], tuple[Tensor, Mapping[str, float]]]
Validation = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class TrainingPlan:
    """The settings of a training. `flat`: the part of the budget before the learning rate falls."""

    budget: Budget
    flat: float = 0.4
    average: float = 0.998  # decay of the running average of the weights, which is the result
    validate_every: float = 3.0  # minutes between validations of the averaged network
    save_every: float = 1.0  # minutes between saving the state


def train_network(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_at: LossFunction,
    plan: TrainingPlan,
    validate: Validation,
) -> tuple[nn.Module, dict]:
    """Train until the budget is spent; returns the averaged network and a record of the training.

    `loss_at(step, spent)` returns the loss and figures to print; `validate(averaged)` returns figures on the
    validation split. Written into `folder`: `state.pt`, `curve.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    step, before = _resume(folder, network, averaged, optimizer)
    started = saved = validated = time.monotonic()
    smooth: dict[str, float] = {}

    def seconds() -> float:
        return before + time.monotonic() - started

    def save() -> None:
        state = [part.state_dict() for part in (network, averaged, optimizer)]
        _write(folder / "state.pt", {"parts": state, "step": step, "seconds": seconds()})

    def record_figures() -> dict[str, float]:
        figures = {name: round(float(value), 4) for name, value in validate(averaged).items()}
        row = {
            "step": step,
            "minutes": round(seconds() / 60, 2),
            "losses": _rounded(smooth),
            "validation": figures,
        }
        with (folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")
        print(f"\r{folder.name} {row}", flush=True)
        return figures

    network.train()
    while (spent := plan.budget.spent(step, seconds())) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * rate(spent, step, flat=plan.flat)
        loss, notes = loss_at(step, spent)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(averaged, network, min(plan.average, (step + 1) / (step + 20)))
        for name, value in {"loss": float(loss.detach()), **notes}.items():
            smooth[name] = 0.97 * smooth.get(name, value) + 0.03 * value
        _show(folder.name, step, spent, smooth)
        if time.monotonic() - saved > plan.save_every * 60:
            save()
            saved = time.monotonic()
        if time.monotonic() - validated > plan.validate_every * 60:
            record_figures()
            validated = time.monotonic()
    figures = record_figures()
    save()
    return averaged, {"steps": step, "minutes": round(seconds() / 60, 1), "watched": figures}


def _resume(folder: Path, network: nn.Module, averaged: nn.Module, optimizer) -> tuple[int, float]:
    """Load the saved state, if there is one; returns the next step and the seconds trained so far."""
    if not (folder / "state.pt").exists():
        (folder / "curve.jsonl").unlink(missing_ok=True)
        return 0, 0.0
    saved = torch.load(folder / "state.pt", weights_only=True)
    for part, state in zip((network, averaged, optimizer), saved["parts"], strict=True):
        part.load_state_dict(state)
    return saved["step"], saved["seconds"]


def _write(path: Path, state: dict) -> None:
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for slow, fast in zip(averaged.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for slow, fast in zip(averaged.buffers(), network.buffers(), strict=True):
        slow.copy_(fast)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def _show(name: str, step: int, spent: float, smooth: Mapping[str, float]) -> None:
    """Show a progress bar, on a terminal only: a log file gets the validation figures alone."""
    if sys.stderr.isatty():
        bar = "█" * int(spent * 30)
        figures = "  ".join(f"{key} {value:.4f}" for key, value in smooth.items())
        print(f"\r{name} {bar:<30} {spent:4.0%}  step {step}  {figures}\033[K", end="", file=sys.stderr)
