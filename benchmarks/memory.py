"""Does memory stay flat while something goes on and on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WARMING = 0.5  # share of the sizes that memory may settle in


def slope(sizes: Sequence[int]) -> float:
    """Bytes each adds to the one before, once memory has settled: of the straight line that fits best."""
    settled = sizes[int(len(sizes) * WARMING) :]
    return float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0


def flatness(name: str, sizes: Sequence[int], *, each: str) -> dict[str, float | bool]:
    """Peak, and slope for `each`, as figures; flat if together they add less than a tenth of the peak."""
    growth, peak = slope(sizes), max(sizes, default=0)
    return {
        f"{name}_peak_mb": round(peak / 1e6, 1),
        f"{name}_kb_each_{each}": round(growth / 1e3, 2),
        f"{name}_flat": growth * len(sizes) < peak / 10,
    }
