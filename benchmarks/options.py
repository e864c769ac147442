"""What every benchmark can be told."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.report import RESULTS
from deploy.local.weights import default_weights

DATA = Path("var/benchmarks")


def parser(what: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all have in common."""
    made = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--weights", type=Path, help="folder of bundles; starter weights by default")
    made.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of every network")
    made.add_argument("--seed", type=int, default=7, help="chooses the load")
    made.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    made.add_argument("--strict", action="store_true", help="exit code 1 if a bar is missed")
    return made


def parsed(made: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The options, with the weights decided."""
    options = made.parse_args(argv)
    if options.threads < 1:
        made.error(f"--threads {options.threads}: must be at least 1")
    options.weights = options.weights or default_weights(DATA)
    if not options.weights.is_dir():
        made.error(f"--weights {options.weights}: there is no such folder")
    return options
