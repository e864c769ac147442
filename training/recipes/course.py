"""A course: training that can be killed at any moment and goes on where it last wrote itself down.

The lesson of a step is a function of the step's number, never of what came before, so a resumed course
sees exactly the lessons it would have seen. With a budget in steps the weights are the same too.
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

Lesson = Callable[[int, float], tuple[Tensor, Mapping[str, float]]]
Watch = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """How a network is trained. `flat`: the part of the budget before the rate starts to fall."""

    budget: Budget
    flat: float = 0.4
    average: float = 0.998  # decay of the running average of weights, which is what is kept
    watch_every: float = 3.0  # minutes between looks at the averaged network
    write_every: float = 1.0  # minutes between writing the course down


def take(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    lesson: Lesson,
    plan: Plan,
    watch: Watch,
) -> tuple[nn.Module, dict]:
    """Train until the budget is spent. Gives the averaged network and a record of the course.

    `lesson(step, spent)` gives the loss and figures to print; `watch(averaged)` gives figures on the
    split that is looked at while learning. Written into `folder`: `course.pt`, `curve.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    step, before = _resume(folder, network, averaged, optimizer)
    started = written = watched = time.monotonic()
    smooth: dict[str, float] = {}

    def seconds() -> float:
        return before + time.monotonic() - started

    def keep() -> None:
        state = [part.state_dict() for part in (network, averaged, optimizer)]
        _write(folder / "course.pt", {"parts": state, "step": step, "seconds": seconds()})

    def look() -> dict[str, float]:
        figures = {name: round(float(value), 4) for name, value in watch(averaged).items()}
        row = {
            "step": step,
            "minutes": round(seconds() / 60, 2),
            "lessons": _rounded(smooth),
            "watch": figures,
        }
        with (folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")
        print(f"\r{folder.name} {row}", flush=True)
        return figures

    network.train()
    while (spent := plan.budget.spent(step, seconds())) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * rate(spent, step, flat=plan.flat)
        loss, notes = lesson(step, spent)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(averaged, network, min(plan.average, (step + 1) / (step + 20)))
        for name, value in {"loss": float(loss.detach()), **notes}.items():
            smooth[name] = 0.97 * smooth.get(name, value) + 0.03 * value
        _show(folder.name, step, spent, smooth)
        if time.monotonic() - written > plan.write_every * 60:
            keep()
            written = time.monotonic()
        if time.monotonic() - watched > plan.watch_every * 60:
            look()
            watched = time.monotonic()
    figures = look()
    keep()
    return averaged, {"steps": step, "minutes": round(seconds() / 60, 1), "watched": figures}


def _resume(folder: Path, network: nn.Module, averaged: nn.Module, optimizer) -> tuple[int, float]:
    """Load what was written down, if anything; gives the next step and the seconds already trained."""
    if not (folder / "course.pt").exists():
        (folder / "curve.jsonl").unlink(missing_ok=True)
        return 0, 0.0
    course = torch.load(folder / "course.pt", weights_only=True)
    for part, state in zip((network, averaged, optimizer), course["parts"], strict=True):
        part.load_state_dict(state)
    return course["step"], course["seconds"]


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
    """A progress bar, on a terminal only: a log file gets the looks and nothing else."""
    if sys.stderr.isatty():
        bar = "█" * int(spent * 30)
        figures = "  ".join(f"{key} {value:.4f}" for key, value in smooth.items())
        print(f"\r{name} {bar:<30} {spent:4.0%}  step {step}  {figures}\033[K", end="", file=sys.stderr)
