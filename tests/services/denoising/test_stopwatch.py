"""Time without what other programs took of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from services.denoising import stopwatch
from services.denoising.stopwatch import held_up, timed


def test_all_are_held_up_by_the_thread_that_waited_longest():
    assert held_up({"1": 1.0, "2": 5.0}, {"1": 1.5, "2": 5.1}) == pytest.approx(0.5)
    assert held_up({}, {"3": 0.25}) == 0.25, "a thread that began meanwhile counts from its beginning"
    assert held_up({"1": 1.0}, {}) == 0.0


def test_what_neighbours_take_is_not_counted():
    hungry = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(hungry) for _ in range(2 * len(os.sched_getaffinity(0)))]
    seen = {}

    def work() -> None:
        wall, own = time.perf_counter(), time.thread_time()
        while time.thread_time() - own < 0.3:
            pass
        seen["wall"] = time.perf_counter() - wall

    try:
        took = timed(work)
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    assert 0.2 < took < seen["wall"]
    assert took - 0.3 < 0.5 * (seen["wall"] - 0.3), "most of what they took should be left out"


def test_without_the_kernels_counters_the_wall_clock_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(stopwatch, "_THREADS", tmp_path / "missing")
    assert timed(lambda: time.sleep(0.02)) >= 0.02
