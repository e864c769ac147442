"""Measure the bundles on the split nothing was learnt from or looked at, and write their cards.

    python -m training.recipes.evaluate                      all bundles, 200 samples of each kind
    python -m training.recipes.evaluate --bundle ip2p --n 50 --no-cards

The networks are loaded by stock classes from the fp16 files, as a stranger would, and run in float32.
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
from training.recipes.place import STARTER

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
    parser.add_argument("--no-cards", action="store_true", help="print, and leave the cards as they are")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    made = [name for name in MEASURES if _is_made(asked.starter / name)]
    for name in asked.bundle or made:
        figures = MEASURES[name](asked.starter / name, SPLIT, asked.n)
        print(f"\n{name}\n{table(figures)}", flush=True)
        if not asked.no_cards:
            command = shlex.join(
                ["python", "-m", "training.recipes.evaluate", "--bundle", name, "--n", str(asked.n)]
            )
            write_card(asked.starter / name, figures, command)


def _is_made(folder: Path) -> bool:
    """A bundle is whole once its recipe has written what names its parts."""
    return any((folder / name).exists() for name in ("model_index.json", "config.yaml"))


if __name__ == "__main__":
    main(sys.argv[1:])
