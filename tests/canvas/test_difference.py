"""What counts as a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canvas.difference import changed_share


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("noise", [0.0, 3.0, 6.0])
def test_noise_that_is_everywhere_is_no_change(depth: Any, noise: float) -> None:
    rng, most = np.random.default_rng(5), np.iinfo(depth).max
    original = np.full((80, 80, 3), most // 2, depth)
    hole = np.zeros((80, 80), bool)
    hole[20:60, 20:60] = True
    redrawn = original + rng.normal(0, noise / 255 * most, original.shape)
    patch = np.clip(np.rint(redrawn), 0, most).astype(depth)
    assert changed_share(patch, original, hole) < 0.02
    patch[20:40, 20:60] = most
    assert changed_share(patch, original, hole) == pytest.approx(0.5, abs=0.02)


def test_a_hole_that_fills_the_crop_is_compared_with_what_can_be_seen() -> None:
    original, hole = np.full((8, 8, 3), 90, np.uint8), np.ones((8, 8), bool)
    assert changed_share(original + np.uint8(5), original, hole) == 0
    assert changed_share(original + np.uint8(20), original, hole) == 1


def test_a_model_that_redraws_all_of_the_crop_has_changed_the_hole() -> None:
    original, hole = np.full((80, 80, 3), 90, np.uint8), np.zeros((80, 80), bool)
    hole[20:60, 20:60] = True
    assert changed_share(255 - original, original, hole) == 1
