"""Runs: progress, the remaining time, and the times of stages."""

from __future__ import annotations

from contextlib import suppress

import pytest

from orchestrator.deadline import Deadline
from orchestrator.runs.run import Run


def begun() -> Run:
    """A run whose recipe has declared its stages."""
    run = Run(Deadline())
    run.expect({"segment": 0.08, "encode": 0.06, "denoise": 0.76, "decode": 0.05, "inlay": 0.05})
    return run


def test_a_run_that_expects_nothing_has_no_estimates() -> None:
    run = Run(Deadline())
    with run.stage("anything") as work:
        work.stepped(1, 3)
        work.stepped(2, 3)
        assert (run.progress.step, run.progress.steps, run.progress.fraction) == (2, 3, 0.0)
        assert run.progress.remaining is None


def test_a_run_estimates_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("orchestrator.runs.run.time.monotonic", lambda: now[0])
    run = begun()
    with run.stage("segment"):
        assert run.progress.remaining is None
        now[0] += 1
    with run.stage("denoise") as work:
        for step in range(1, 5):
            now[0] += 2
            work.stepped(step, 10)
        remaining = run.progress.remaining
    # Six steps of two seconds, and the stages after it in proportion.
    assert remaining == pytest.approx(12 + 20 * 0.10 / 0.76)
    assert run.times == {"segment": 1.0, "denoise": 8.0}


def test_the_wait_for_its_turn_says_nothing_about_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("orchestrator.runs.run.time.monotonic", lambda: now[0])
    run = begun()
    now[0] += 1000
    for stage in ("segment", "encode"):
        with run.stage(stage):
            now[0] += 7
    with run.stage("denoise"):
        now[0] += 76
    with run.stage("decode"):
        remaining = run.progress.remaining
    # Ninety seconds for the first 0.90 of it.
    assert remaining == pytest.approx(10)


def test_a_recipe_that_begins_anew_counts_from_nothing_and_takes_nothing_back() -> None:
    run = Run(Deadline())
    run.expect({"segment": 0.1, "track": 0.9})
    with suppress(ZeroDivisionError), run.stage("track") as work:
        work.stepped(5, 10)
        raise ZeroDivisionError
    run.expect({"segment": 0.1, "track": 0.9})
    assert run.progress.fraction == pytest.approx(0.45)
    with run.stage("track") as work:
        work.stepped(2, 10)
        assert (run.progress.step, run.progress.steps) == (2, 10)
        assert run.progress.fraction == pytest.approx(0.45)
        work.stepped(8, 10)
        assert run.progress.fraction == pytest.approx(0.72)


def test_pieces_of_a_stage_add_up() -> None:
    run = begun()
    with run.stage("denoise", of=4) as one, run.stage("denoise", of=4) as other:
        one.stepped(10, 10)
        other.stepped(5, 10)
        assert (run.progress.step, run.progress.steps) == (15, 40)
    assert run.progress.fraction == pytest.approx(0.76 / 2)
    with run.stage("decode", of=4):
        assert run.progress.stage == "decode"
    with run.stage("denoise", of=4) as third:
        third.stepped(1, 10)
        assert (run.progress.step, run.progress.steps) == (16, 40)
    assert run.progress.fraction == pytest.approx(0.76 * 3 / 4 + 0.05 / 4)


def test_what_holds_a_stage_up_is_told_until_its_next_step() -> None:
    changes: list[str] = []
    run = Run(Deadline(), lambda: changes.append(run.progress.note))
    with run.stage("denoise", of=2) as one, run.stage("denoise", of=2) as other:
        one.stepped(1, 3)
        one.held_up("its model has ended")
        assert changes[-1] == "its model has ended"
        other.stepped(1, 3)
        assert run.progress.note == "its model has ended"
        one.stepped(2, 3)
        assert run.progress.note == ""
        other.held_up("another reason")
    assert run.progress.note == "", "a piece that is over is not held up"
