"""What is bent, and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canvas.membrane import close_seam

SIDE = 120


def plain(depth: Any = np.uint8) -> np.ndarray:
    """A ground whose colours change slowly."""
    down, across = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    soft = np.stack((0.4 + 0.2 * down, 0.5 + 0.1 * across, 0.6 - 0.2 * across), axis=2)
    return np.rint(soft * np.iinfo(depth).max).astype(depth)


def stroke() -> np.ndarray:
    hole = np.zeros((SIDE, SIDE), bool)
    hole[10:110, 50:64] = True
    return hole


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("hole", [stroke(), np.hypot(*(np.mgrid[:SIDE, :SIDE] - 60)) < 40])
def test_a_slow_error_of_the_patch_is_gone_from_the_hole(depth: Any, hole: np.ndarray) -> None:
    truth, most = plain(depth), np.iinfo(depth).max
    off = 0.08 * np.linspace(-1, 1, SIDE)[:, None, None] + 0.03
    patch = np.rint(np.clip(truth / most + off, 0, 1) * most).astype(depth)
    assert np.abs(patch[hole].astype(float) - truth[hole]).max() > 15 / 255 * most
    bent = close_seam(patch, truth, hole)
    assert np.abs(bent[hole].astype(float) - truth[hole]).max() <= 3 / 255 * most
    np.testing.assert_array_equal(bent[~hole], patch[~hole])


def test_what_the_model_drew_into_the_hole_stays() -> None:
    truth, hole = plain(), stroke()
    drawn = truth.copy()
    drawn[40:80, 54:60] = (200, 30, 30)
    np.testing.assert_array_equal(close_seam(drawn, truth, hole), drawn)


def test_other_content_on_the_border_does_not_bleed_into_the_hole() -> None:
    truth, hole = plain(), stroke()
    patch = truth.copy()
    patch[30:34, 64:67] = 255
    bent = close_seam(patch, truth, hole)
    assert np.abs(bent[hole].astype(int) - truth[hole]).max() <= 5


@pytest.mark.parametrize("hole", [np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool)])
def test_without_a_border_nothing_is_bent(hole: np.ndarray) -> None:
    patch = plain()[::-1].copy()
    assert close_seam(patch, plain(), hole) is patch


def test_nor_where_the_model_drew_something_else_around_the_hole_too() -> None:
    truth, hole = plain(), stroke()
    patch = np.full_like(truth, 255)
    assert close_seam(patch, truth, hole) is patch
