"""The figures and their bars."""

from __future__ import annotations

from benchmarks.gpu.device import file_name
from benchmarks.gpu.figures import FULL, TINY, LoopFigure, figures


def test_every_figure_has_its_name_alone_in_every_scale():
    names = [figure.name for figure in figures(FULL)]
    assert len(set(names)) == len(names)
    assert names == [figure.name for figure in figures(TINY)]


def test_a_figure_with_a_bar_has_a_goal_beyond_it():
    for figure in figures(FULL):
        if figure.at_least is None or figure.goal is None:
            assert figure.reaches(1.0) is None
            continue
        assert figure.reaches(figure.goal) is True
        worse = figure.at_least * (0.9 if figure.more_is_better else 1.1)
        assert figure.reaches(worse) is False


def test_the_loop_is_measured_at_two_sizes_for_a_curve_each():
    loops = [each for each in figures(FULL) if isinstance(each, LoopFigure) and not each.compiled]
    for side in (FULL.small, FULL.large):
        assert sorted(each.requests for each in loops if each.side == side) == [1, 2, 4, 8]


def test_files_are_named_by_the_device():
    assert file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
