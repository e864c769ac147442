"""The closed loop and what is concluded from it."""

from __future__ import annotations

import pytest

from benchmarks.step_sharing import RowsMeter, compare, pictures_per_second
from tests.services.denoising.doubles import Sketch, engine, request


def test_every_client_sends_the_next_request_until_none_is_left():
    meter = RowsMeter()
    loop = engine(Sketch(), best_rows=24, meter=meter)
    work = [request(seed, steps=2) for seed in range(7)]
    assert pictures_per_second(loop, work, 3) > 0
    # Two rows a picture: three clients share twice two passes, the seventh picture has its own two.
    assert meter.rows == [6, 6, 6, 6, 2, 2]


def test_an_engine_limited_to_one_shares_nothing():
    meter = RowsMeter()
    loop = engine(Sketch(), best_rows=24, running=1, meter=meter)
    pictures_per_second(loop, [request(seed, steps=2) for seed in range(4)], 4)
    assert meter.rows == [2] * 8


def test_a_ratio_is_that_of_the_median_round():
    found = compare([3.0, 9.0, 2.0], [2.0, 3.0, 2.0], bar=1.5)
    assert (found["ratio_p50"], found["ratio_least"], found["ratio_most"]) == (1.5, 1.0, 3.0)
    assert found["met"] is True
    assert compare([1.0], [1.2], bar=0.97)["met"] is False


def test_a_refused_request_ends_the_measurement():
    loop = engine(Sketch(), waiting=1)
    with pytest.raises(Exception, match="no room"):
        pictures_per_second(loop, [request(seed) for seed in range(3)], 3)
