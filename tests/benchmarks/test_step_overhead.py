"""How long a step takes, by the replies that told of it."""

from __future__ import annotations

import pytest

from benchmarks.step_overhead import step_seconds


def test_a_step_whose_reply_was_left_out_counts():
    assert step_seconds([(1, 10.0), (2, 10.1), (5, 10.4)]) == pytest.approx(0.1)
