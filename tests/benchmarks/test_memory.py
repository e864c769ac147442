"""What counts as flat."""

from __future__ import annotations

import pytest

from benchmarks.memory import flatness, slope


def test_the_slope_is_that_of_the_settled_half() -> None:
    assert slope([0] * 50 + [1000 + 3 * number for number in range(50)]) == pytest.approx(3.0)
    assert slope([]) == slope([7]) == 0.0


@pytest.mark.parametrize(("each", "flat"), [(0, True), (4000, True), (6000, False)])
def test_memory_is_flat_if_all_together_add_less_than_a_tenth(each: int, flat: bool) -> None:
    sizes = [9_000_000 + each * number for number in range(200)]
    assert flatness("client", sizes, each="item")["client_flat"] is flat
