"""The interval of a median, by ranks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.report import median_interval


@pytest.mark.parametrize(("count", "ranks"), [(3, (1, 3)), (6, (1, 6)), (30, (10, 21)), (100, (40, 61))])
def test_the_interval_has_the_ranks_of_the_binomial_table(count: int, ranks: tuple[int, int]) -> None:
    assert median_interval(list(range(count, 0, -1))) == ranks


def test_it_holds_the_true_median_as_often_as_it_says() -> None:
    chance = np.random.default_rng(3)
    intervals = [median_interval(chance.exponential(1.0, 30).tolist()) for _ in range(2000)]
    holding = np.mean([low <= np.log(2) <= high for low, high in intervals])
    assert 0.94 <= holding <= 0.98
