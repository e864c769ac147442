"""Measure the bundles on the test split, and write their cards.

    python -m training.recipes.evaluate                      all bundles, 200 samples of each kind
    python -m training.recipes.evaluate --bundle ip2p --n 50 --no-cards

The networks are loaded by stock classes from the fp16 files, and run in float32.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from training.recipes import figures_of_ip2p, figures_of_sam, figures_of_sd2_inpaint
from training.recipes.card import write_card
from training.recipes.figure import Figure, table
from training.recipes.options import STARTER

SPLIT = "test"
MEASURES: dict[str, Callable[[Path, str, int], list[Figure]]] = {
    "ip2p": figures_of_ip2p.measure,
    "sd2_inpaint": figures_of_sd2_inpaint.measure,
    "sam": figures_of_sam.measure,
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", choices=MEASURES, action="append", help="only this one; may be repeated")
    parser.add_argument("--n", type=int, default=200, help="samples of each kind")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--starter", type=Path, default=STARTER, help="folder of bundles")
    parser.add_argument("--no-cards", action="store_true", help="print only; do not change the cards")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    complete = [name for name in MEASURES if _is_complete(arguments.starter / name)]
    for name in arguments.bundle or complete:
        figures = MEASURES[name](arguments.starter / name, SPLIT, arguments.n)
        print(f"\n{name}\n{table(figures)}", flush=True)
        if not arguments.no_cards:
            command = shlex.join(
                ["python", "-m", "training.recipes.evaluate", "--bundle", name, "--n", str(arguments.n)]
            )
            write_card(arguments.starter / name, figures, command)


def _is_complete(folder: Path) -> bool:
    """True for a bundle whose recipe has ended, which writes the index of its parts last."""
    return any((folder / name).exists() for name in ("model_index.json", "config.yaml"))


if __name__ == "__main__":
    main(sys.argv[1:])
