"""Masks and pictures for property tests, and slow but plain ways to say what they should become."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


@st.composite
def masks(draw: st.DrawFn, soft: bool | None = None) -> np.ndarray:
    """Masks with at least one pixel: specks, bars, borders, clouds, all of the picture."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mask = np.zeros((height, width), np.float32)
    kind = draw(st.sampled_from(["speck", "bars", "cloud", "full"]))
    if kind == "speck":
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = 1
    elif kind == "bars":
        for _ in range(draw(st.integers(1, 4))):
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
            mask[top:bottom, left:right] = 1
    elif kind == "cloud":
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        mask[generator.random(mask.shape) < draw(st.floats(0.05, 0.95))] = 1
        mask.flat[draw(st.integers(0, mask.size - 1))] = 1
    else:
        mask[:] = 1
    if draw(st.booleans()) if soft is None else soft:
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        mask *= generator.uniform(0.05, 1, mask.shape).astype(np.float32)
    return mask


def random_picture(height: int, width: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def distances(inside: np.ndarray) -> np.ndarray:
    """From every pixel to the nearest of `inside`, by trying them all; infinite if there is none."""
    rows, columns = np.nonzero(inside)
    y, x = np.indices(inside.shape)
    result = np.full(inside.shape, np.inf)
    for row, column in zip(rows, columns, strict=True):
        result = np.minimum(result, np.hypot(y - row, x - column))
    return result


def ring(hole):
    mask = np.zeros((20, 20), np.float32)
    mask[4:16, 4:16] = 1
    mask[6 : 6 + hole, 6 : 6 + hole] = 0
    return mask
