"""Command line options that all benchmarks share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.report import RESULTS
from deploy.local.weights import default_weights

DATA = Path("var/benchmarks")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the shared options."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="folder of bundles; starter weights by default")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of every network")
    parser.add_argument("--seed", type=int, default=7, help="seed of the load")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--data", type=Path, default=DATA, help="folder for logs and for what is made")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a bar is missed")
    return parser


def parse(
    parser: argparse.ArgumentParser, argv: list[str] | None, *, starter: bool = True
) -> argparse.Namespace:
    """Parses the options, and fills in the folder of weights.

    `starter`: the starter weights are used if no others are given; else `weights` is None then.
    """
    options = parser.parse_args(argv)
    if options.threads < 1:
        parser.error(f"--threads {options.threads}: must be at least 1")
    if options.weights is None and starter:
        options.weights = default_weights(options.data)
    if options.weights is not None and not options.weights.is_dir():
        parser.error(f"--weights {options.weights}: there is no such folder")
    return options
