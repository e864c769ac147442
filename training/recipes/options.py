"""The command-line options that all recipes share."""

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
class RecipeOptions:
    """Bundles are written to `starter`; training states and cached arrays, which git ignores, to
    `training`."""

    budget: Budget
    device: torch.device = _PROCESSOR
    starter: Path = STARTER
    training: Path = TRAINING
    share: float = 1.0  # of the usual number of cached samples
    warm: bool = False  # begin with the weights in the bundle


def parse_options(about: str, minutes: float, argv: list[str] | None = None) -> RecipeOptions:
    """The options of a command line. `about` is the recipe's docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="training time in total, over all runs"
    )
    parser.add_argument("--steps", type=float, default=math.inf, help="stop after so many steps instead")
    parser.add_argument("--device", type=torch.device, default=_PROCESSOR)
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--starter", type=Path, default=STARTER, help="folder of bundles")
    parser.add_argument(
        "--training", type=Path, default=TRAINING, help="folder of training states and cached arrays"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of cached samples")
    parser.add_argument("--warm", action="store_true", help="begin with the weights in the bundle")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    budget = (
        Budget(minutes=arguments.minutes) if math.isinf(arguments.steps) else Budget(steps=arguments.steps)
    )
    return RecipeOptions(
        budget,
        arguments.device,
        arguments.starter,
        arguments.training,
        share=arguments.share,
        warm=arguments.warm,
    )
