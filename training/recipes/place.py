"""Where recipes read and write, and the arguments they all share."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from training.recipes.budget import Budget

STARTER = Path(__file__).parents[2] / "weights" / "starter"
TRAINING = Path(__file__).parents[2] / "var" / "training"
_PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Bundles go to `starter`; courses and shelves, which git does not keep, to `training`."""

    budget: Budget
    device: torch.device = _PROCESSOR
    starter: Path = STARTER
    training: Path = TRAINING
    share: float = 1.0  # of the usual number of samples on shelves
    warm: bool = False  # begin with the weights the bundle has, not with none


def place(about: str, minutes: float, argv: list[str] | None = None) -> Place:
    """The place a command line asks for. `about` is the recipe's docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="training time over all sittings")
    parser.add_argument("--steps", type=float, default=math.inf, help="stop after so many steps instead")
    parser.add_argument("--device", type=torch.device, default=_PROCESSOR)
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--starter", type=Path, default=STARTER, help="folder of bundles")
    parser.add_argument("--training", type=Path, default=TRAINING, help="folder of courses and shelves")
    parser.add_argument("--warm", action="store_true", help="begin with the weights in the bundle")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    budget = Budget(minutes=asked.minutes) if math.isinf(asked.steps) else Budget(steps=asked.steps)
    return Place(budget, asked.device, asked.starter, asked.training, warm=asked.warm)
