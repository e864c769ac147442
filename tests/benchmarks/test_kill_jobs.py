"""Orchestrators that end by themselves in the benchmark of kills: started again, and told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.kill_jobs import findings, orchestrators
from benchmarks.kill_jobs.findings import Findings
from benchmarks.kill_jobs.orchestrators import OrchestratorProcess


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[OrchestratorProcess]:
    """One that has started, and never sees a model."""
    environment = {"INTARSIA_TRITON": "127.0.0.1:1", "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts")}
    started = OrchestratorProcess(tmp_path, environment)
    started.start()
    yield started
    started.stop()


def end(orchestrator: OrchestratorProcess, number: signal.Signals) -> int:
    """Ends it from outside; returns the id that it had."""
    pid = orchestrator.pid
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_one_that_crashes_is_started_again_and_is_a_finding(orchestrator: OrchestratorProcess):
    orchestrator.check()
    ended = end(orchestrator, signal.SIGSEGV)
    orchestrator.check()
    orchestrator.check()
    assert orchestrator.pid != ended
    assert len(orchestrator.exits) == 1 and "ended with -11" in orchestrator.exits[0]
    found = Findings()
    findings.check_exits(found, orchestrator.exits)
    assert found.counts == {"ended by themselves": 1}


@pytest.mark.parametrize("disturb", ["freeze", "wake", "kill"])
def test_a_crash_just_before_it_is_disturbed_is_not_overlooked(
    orchestrator: OrchestratorProcess, disturb: str
):
    end(orchestrator, signal.SIGSEGV)
    getattr(orchestrator, disturb)()
    assert len(orchestrator.exits) == 1


def test_one_that_is_killed_is_no_finding(orchestrator: OrchestratorProcess):
    orchestrator.kill()
    orchestrator.check()
    orchestrator.start()
    orchestrator.check()
    assert not orchestrator.exits


def test_one_that_cannot_live_ends_the_run(
    orchestrator: OrchestratorProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(orchestrators, "_MOST_EXITS", 1)
    end(orchestrator, signal.SIGSEGV)
    orchestrator.check()
    end(orchestrator, signal.SIGSEGV)
    with pytest.raises(RuntimeError, match="ended with -11"):
        orchestrator.check()
