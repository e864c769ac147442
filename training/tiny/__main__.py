from __future__ import annotations

import argparse
from pathlib import Path

from transformers.utils import logging

from training.tiny import write


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.tiny", description="Write small random bundles."
    )
    parser.add_argument("folder", type=Path, help="where the bundles go")
    parser.add_argument("--seed", type=int, default=0, help="chooses the numbers (default 0)")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    print(write(arguments.folder, arguments.seed))


if __name__ == "__main__":
    main()
