"""Loads are chosen by their seed, and arrivals are what they claim to be."""

from __future__ import annotations

import statistics
from itertools import islice

import numpy as np
import pytest

from benchmarks import workload


def test_a_seed_always_gives_the_same_load():
    def load(seed):
        return (
            workload.picture(50, 40, seed).tobytes(),
            list(islice(workload.edits(200, 100, (16, 64), seed), 20)),
            workload.poisson(5.0, 10.0, seed),
        )

    assert load(3) == load(3)
    for one, other in zip(load(3), load(4), strict=True):
        assert one != other


def test_edits_lie_inside_the_picture_and_no_two_say_the_same():
    edits = list(islice(workload.edits(200, 100, (16, 100), seed=1), 200))
    assert all(0 <= e.left <= 200 - e.side and 0 <= e.top <= 100 - e.side for e in edits)
    assert {e.side for e in edits} == {16, 100}
    assert len({e.instruction for e in edits}) == 200


def test_a_picture_has_the_requested_size():
    picture = workload.picture(37, 21, seed=2)
    assert picture.shape == (21, 37, 3) and picture.dtype == np.uint8
    assert picture.std() > 20


def test_poisson_arrivals_come_at_their_rate_and_without_memory():
    times = workload.poisson(50.0, 200.0, seed=9)
    pauses = np.diff(times)
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 200
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert statistics.stdev(pauses) == pytest.approx(statistics.mean(pauses), rel=0.05)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (1, 0)])
def test_a_rate_without_arrivals_is_refused(rate, seconds):
    with pytest.raises(ValueError, match="above 0"):
        workload.poisson(rate, seconds, seed=1)


def test_a_trace_is_read_as_pauses_in_microseconds(tmp_path):
    file = tmp_path / "trace"
    file.write_text("500000\n0\n250000\n")
    assert workload.trace(file) == [0.5, 0.5, 0.75]


@pytest.mark.parametrize(("lines", "told"), [("1\nsoon\n", ":2: 'soon'"), ("-5\n", ":1"), ("", "no line")])
def test_a_broken_trace_is_refused_by_its_line(tmp_path, lines, told):
    file = tmp_path / "trace"
    file.write_text(lines)
    with pytest.raises(ValueError, match=told):
        workload.trace(file)
