"""Mixes of adapters: who asks for what, how fast, and whether it is what was made references."""

from __future__ import annotations

import threading
from itertools import islice
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import workload
from benchmarks.adapters import (
    ALONE,
    AdapterMix,
    EditTask,
    MixResult,
    figures,
    make_references,
    mixes,
    plot,
    run_clients,
    tasks_of,
)
from benchmarks.report import Origin

EDITS = list(islice(workload.edits(64, 48, (16,), seed=1), 3))


def test_the_base_alone_comes_first_and_every_number_comes_with_it_and_without():
    assert mixes([2, 0, 1, 2]) == [
        AdapterMix(0, True),
        AdapterMix(1, False),
        AdapterMix(1, True),
        AdapterMix(2, False),
        AdapterMix(2, True),
    ]
    assert [list(mix.styles) for mix in mixes([0, 2])] == [[0], [1, 2], [0, 1, 2]]


def test_clients_choose_at_random_and_the_same_for_the_same_seed():
    mix = AdapterMix(3, base=True)
    found = tasks_of(mix, EDITS, clients=6, each=20, seed="7 0")
    assert [len(mine) for mine in found] == [20] * 6
    assert {task.style for mine in found for task in mine} == {0, 1, 2, 3}
    assert {task.edit for mine in found for task in mine} == set(EDITS)
    assert found == tasks_of(mix, EDITS, 6, 20, "7 0") != tasks_of(mix, EDITS, 6, 20, "7 1")


def test_clients_run_in_parallel_and_each_in_sequence():
    together = threading.Barrier(3)

    def make(task: EditTask) -> np.ndarray:
        together.wait(timeout=10)
        return np.full((1, 1, 3), task.style, np.int16)

    rate, made = run_clients(make, [[EditTask(EDITS[0], style)] * 2 for style in range(3)])
    assert rate > 0 and len(made) == 6
    assert all(int(picture[0, 0, 0]) == task.style for task, picture in made)


def test_adapters_that_change_nothing_prove_nothing():
    def make(task: EditTask) -> np.ndarray:
        return np.full((1, 1, 3), 50 * (task.style == 1), np.int16)

    assert len(make_references(make, EDITS, styles=1)) == 6
    with pytest.raises(RuntimeError, match="adapter 2 changes next to nothing"):
        make_references(make, EDITS, styles=2)


def test_a_mix_is_compared_with_the_base_of_the_same_rounds():
    told = figures(
        AdapterMix(2, base=False), MixResult([1.0, 3.0, 4.0], difference=1), MixResult([2.0, 4.0, 4.0])
    )
    assert (told["ratio_p50"], told["ratio_least"], told["ratio_most"]) == (0.75, 0.5, 1.0)
    assert told["met"] and not figures(ALONE, MixResult([1.0], difference=2), MixResult([1.0]))["met"]


def test_both_lines_of_the_plot_begin_with_the_base_alone():
    measured = {mix: MixResult([1.0 / (mix.adapters + 1)]) for mix in mixes([1, 2])}
    origin = Origin.here([], module="benchmarks.adapters", threads=1, weights="")
    drawn = ElementTree.fromstring(plot(measured, 6, origin))
    first, second = (
        line.get("points").split() for line in drawn.findall("{http://www.w3.org/2000/svg}polyline")
    )
    assert first == second and len(first) == 3
