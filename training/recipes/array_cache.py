"""Arrays that are computed once and cached on disk, outside git, for all recipes that need them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def cached_arrays(
    path: Path, count: int, make: Callable[[int], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """`make(index)` for every index below `count`, stacked by name, each a memory map.

    Computed at the first call. The folder is renamed when it is complete, so no incomplete one is read.
    """
    folder = path.parent / f"{path.name}-{count}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        maps: dict[str, np.ndarray] = {}
        for index in range(count):
            for name, row in make(index).items():
                if name not in maps:
                    maps[name] = np.lib.format.open_memmap(
                        part / f"{name}.npy", mode="w+", dtype=row.dtype, shape=(count, *row.shape)
                    )
                maps[name][index] = row
        for array in maps.values():
            array.flush()
        os.replace(part, folder)
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
