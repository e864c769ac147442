"""Shelves: arrays computed once and kept on disk, outside git, for every recipe that needs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def shelved(path: Path, count: int, make: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """`make(index)` for every index below `count`, stacked by name, each a memory map.

    Computed on the first call. A half-made shelf is never seen: it is renamed when it is complete.
    """
    folder = path.parent / f"{path.name}-{count}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        boards: dict[str, np.ndarray] = {}
        for index in range(count):
            for name, row in make(index).items():
                if name not in boards:
                    boards[name] = np.lib.format.open_memmap(
                        part / f"{name}.npy", mode="w+", dtype=row.dtype, shape=(count, *row.shape)
                    )
                boards[name][index] = row
        for board in boards.values():
            board.flush()
        os.replace(part, folder)
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
