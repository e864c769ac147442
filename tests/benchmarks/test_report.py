"""MetricsPage, and where they come from."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import BenchmarkReport, Origin, median, milliseconds, percentile, verdicts


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_percentiles_are_those_of_the_textbook(values):
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    for share in (1, 10, 50, 90, 99):
        assert percentile(values, share / 100) == pytest.approx(hundredths[share - 1], abs=1e-6)
    assert percentile(values, 0) == min(values) and percentile(values, 1) == max(values)


def test_one_value_is_every_percentile():
    assert [percentile([4.0], share) for share in (0, 0.3, 1)] == [4.0, 4.0, 4.0]
    assert median([3.0, 1.0, 2.0]) == 2.0


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_percentiles_of_nothing_and_beyond_all_are_refused(values, share):
    with pytest.raises(ValueError):
        percentile(values, share)


def test_times_are_in_milliseconds_and_none_where_nothing_was_timed():
    assert milliseconds([0.001, 0.003], 0.5, 1.0, name="done") == {"done_p50_ms": 2.0, "done_p100_ms": 3.0}
    assert milliseconds([], 0.5) == {"p50_ms": None}


def test_every_line_says_where_it_comes_from(tmp_path):
    argv = ["--sides", "8"]
    origin = Origin.here(argv, module="benchmarks.step_sharing", threads=2, weights="0123456789abcdef")
    report = BenchmarkReport("sharing", "Does it pay?", origin)
    report.add(side=8, ratio=1.51234, met=True)
    report.add(side=64, ratio=0.99, met=None)
    page = report.write(tmp_path)
    lines = json.loads((tmp_path / "sharing.json").read_text())["lines"]
    for line in lines:
        assert line["threads"] == 2 and line["weights"] == "0123456789ab"
        assert line["command"] == "python -m benchmarks.step_sharing --sides 8"
        assert line["commit"] and line["device"] and line["time"] and line["cores"] >= 1
    assert lines[0]["ratio"] == 1.51234, "what is kept is not rounded for show"
    table = page.read_text()
    assert "| 8 | 1.512 | yes |" in table and "| 64 | 0.99 | – |" in table
    assert "python -m benchmarks.step_sharing --sides 8" in table


def test_a_bar_that_was_missed_is_noticed():
    assert verdicts([{"met": True}, {"other": 1}])
    assert not verdicts([{"met": True}, {"met": False}])
