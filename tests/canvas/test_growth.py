"""What is grown and feathered by default, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from canvas.feather import feather
from canvas.growth import resolve_shaping
from canvas.mask import shape
from canvas.region import MaskCandidate, Shaping

DRAWN = MaskCandidate(np.ones((100, 100), np.float32), 1.0)
FOUND = MaskCandidate(np.ones((100, 100), np.uint8), 0.9, model_pixel=2.0)


def disc(radius: float, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.hypot(x, y) <= radius


def test_a_drawn_region_is_not_grown_and_feathered_by_its_size() -> None:
    small, large = (
        MaskCandidate(DRAWN.mask[:10, :10], 1.0),
        MaskCandidate(np.ones((900, 900), np.float32), 1.0),
    )
    assert resolve_shaping(Shaping(), DRAWN) == Shaping(grow=0.0, feather=3.0)
    assert resolve_shaping(Shaping(), small) == Shaping(grow=0.0, feather=1.0)
    assert resolve_shaping(Shaping(), large) == Shaping(grow=0.0, feather=8.0)


@pytest.mark.parametrize("model_pixel", [0.4, 2.0, 4.0])
@pytest.mark.parametrize("radius", [12, 30, 80])
def test_no_rim_stays_of_a_thing_whose_outline_was_found_as_far_off_as_models_may_be(
    radius: float, model_pixel: float
) -> None:
    side = 2 * radius + 80
    found = disc(radius - 0.5 - 1.5 * model_pixel, side).astype(np.uint8)
    shaping = resolve_shaping(Shaping(), MaskCandidate(found, 0.9, model_pixel))
    alpha = feather(shape(found.astype(np.float32), shaping), shaping.feather or 0)
    assert alpha[disc(radius, side)].min() > 0.9
    assert not alpha[~disc(radius + 1 + 1.5 * model_pixel + 0.1 * radius + 10, side)].any()


def test_what_the_client_says_is_kept() -> None:
    for candidate in (DRAWN, FOUND):
        assert resolve_shaping(Shaping(grow=4.0, feather=8.0), candidate) == Shaping(grow=4.0, feather=8.0)
        assert resolve_shaping(Shaping(grow=0.0, feather=0.0), candidate) == Shaping(grow=0.0, feather=0.0)


def test_a_feather_that_is_given_has_room_within_the_growth_and_the_other_way_round() -> None:
    assert resolve_shaping(Shaping(feather=0.0), FOUND).grow == pytest.approx(7.0)
    assert resolve_shaping(Shaping(feather=5.0), FOUND).grow == pytest.approx(12.0)
    assert resolve_shaping(Shaping(feather=99.0), FOUND).grow == pytest.approx(15.0)
    assert resolve_shaping(Shaping(grow=9.0), FOUND).feather == pytest.approx(2.0)
    assert resolve_shaping(Shaping(grow=2.0), FOUND).feather == 0.0


@pytest.mark.parametrize("own", [Shaping(shrink=2.0), Shaping(invert=True)])
def test_an_outline_that_the_client_shapes_is_not_grown(own: Shaping) -> None:
    assert resolve_shaping(own, FOUND).grow == 0.0
    assert resolve_shaping(Shaping(), FOUND, grows=False).grow == 0.0
