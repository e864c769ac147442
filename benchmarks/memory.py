"""Judges whether memory stays flat during a long run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WARMUP = 0.5  # share of the sizes in which memory may settle


def slope(sizes: Sequence[int]) -> float:
    """Growth in bytes from one size to the next after the warm-up, by a straight line fitted to them."""
    settled = sizes[int(len(sizes) * WARMUP) :]
    return float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0


def flatness(name: str, sizes: Sequence[int], *, each: str) -> dict[str, float | bool]:
    """Peak, and growth per `each`, as figures; flat if the total growth is less than a tenth of the peak."""
    growth, peak = slope(sizes), max(sizes, default=0)
    return {
        f"{name}_peak_mb": round(peak / 1e6, 1),
        f"{name}_kb_each_{each}": round(growth / 1e3, 2),
        f"{name}_flat": growth * len(sizes) < peak / 10,
    }
