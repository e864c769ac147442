"""Plots, read back as the XML they are."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks.plot import lines

SVG = "{http://www.w3.org/2000/svg}"
SERIES = {
    "within": [(64, 300.0), (256, 310.0), (1024, 900.0)],
    "alone": [(64, 240.0), (256, 250.0), (1024, 800.0)],
}


def drawn(**facts) -> ElementTree.Element:
    return ElementTree.fromstring(lines("Cost", SERIES, across="side", up="ms", **facts))


def places(line: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


def test_every_series_is_a_line_with_its_points_and_name():
    root = drawn()
    found = root.findall(f"{SVG}polyline")
    assert [len(places(line)) for line in found] == [3, 3]
    assert len(root.findall(f"{SVG}circle")) == 6
    words = [text.text for text in root.findall(f"{SVG}text")]
    assert {"Cost", "side", "ms", "within", "alone", "64", "256", "1024", "0"} <= set(words)


def test_higher_is_higher_and_in_proportion():
    (_, (_, y), _), *_ = [places(line) for line in drawn().findall(f"{SVG}polyline")]
    root = ElementTree.fromstring(lines("", {"": [(0, 0.0), (1, 50.0), (2, 100.0)]}, across="", up=""))
    (_, bottom), (_, middle), (_, top) = places(root.find(f"{SVG}polyline"))
    assert bottom - middle == pytest.approx(middle - top, abs=0.2) and bottom > middle > top
    assert 0 < y < 440


def test_doubling_puts_equal_factors_equally_far_apart():
    (first, second, third), _ = [places(line) for line in drawn(doubling=True).findall(f"{SVG}polyline")]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)


def test_limits_are_seen_even_above_all_points():
    root = drawn(limits={"bar": 2000.0})
    dashed = [line for line in root.findall(f"{SVG}line") if line.get("stroke-dasharray") != "none"]
    assert len(dashed) == 1
    assert float(dashed[0].get("y1")) > 40 and "bar" in [text.text for text in root.findall(f"{SVG}text")]


def test_names_of_lines_that_end_together_can_be_read():
    series = {"one": [(0, 9.0), (1, 5.0)], "two": [(0, 9.0), (1, 5.1)], "three": [(0, 9.0), (1, 0.0)]}
    root = ElementTree.fromstring(lines("", series, across="", up="", limits={"bar": 5.0}))
    heights = {text.text: float(text.get("y")) for text in root.findall(f"{SVG}text")}
    first, second, third = sorted(heights[name] for name in ("one", "two", "bar"))
    assert second - first >= 14 and third - second >= 14 and heights["three"] > third + 14
    assert heights["two"] == first


def test_no_name_is_written_over_another():
    close = {name: [(1, 10.0), (2, 100.0 + n)] for n, name in enumerate("abcd")}
    root = ElementTree.fromstring(lines("", close, across="", up="", limits={"bar": 101.0}))
    names = [text for text in root.findall(f"{SVG}text") if text.text in {*"abcd", "bar"}]
    heights = sorted(float(text.get("y")) for text in names)
    assert len(heights) == 5 and min(b - a for a, b in pairwise(heights)) >= 13.9


def test_words_are_escaped_and_one_point_will_do():
    root = ElementTree.fromstring(lines("a < b & c", {"<": [(5, 0.0)]}, across="", up="", doubling=True))
    assert "a < b & c" in [text.text for text in root.findall(f"{SVG}text")]


def test_an_empty_plot_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        lines("", {"empty": []}, across="", up="")
