"""The orchestrator's process is started again, whatever ended it, until it is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.orchestrator import SupervisedOrchestrator, WatchLimits
from tests.e2e.waiting import until

QUICK = WatchLimits(interval=0.05, first_pause=0.01, longest_pause=0.02)
Start = Callable[..., SupervisedOrchestrator]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program in the orchestrator's place, and watches it."""
    started = []

    def start(*command: str, limits: WatchLimits = QUICK) -> SupervisedOrchestrator:
        (tmp_path / "ready").touch()
        process = SupervisedOrchestrator(
            "127.0.0.1:1",
            environment=os.environ,
            ready_file=tmp_path / "ready",
            log=tmp_path / "log",
            limits=limits,
            command=command,
        )
        started.append(process)
        process.start()
        process.watch()
        return process

    yield start
    for process in started:
        process.stop(grace=1)


def test_one_that_was_killed_is_started_again(start: Start, caplog: pytest.LogCaptureFixture):
    process = start("sh", "-c", "echo its last words; exec sleep 1000")
    before = process.pid
    until(lambda: "last words" in process._log.read_text())
    os.kill(before, signal.SIGKILL)
    until(lambda: process.pid != before)
    assert process.restarts == 1 and process.failed() is None
    assert "ended by itself, with -9" in caplog.text and "its last words" in caplog.text


def test_one_that_ends_at_once_is_started_again_and_again(start: Start):
    process = start("false")
    until(lambda: process.restarts >= 3)
    assert process.failed() is None


def test_the_pause_before_the_next_start_grows_while_it_ends_early(
    start: Start, caplog: pytest.LogCaptureFixture
):
    process = start("false", limits=WatchLimits(interval=0.05, first_pause=0.01, longest_pause=0.04))
    until(lambda: process.restarts >= 4)
    pauses = [record.args[1] for record in caplog.records if "ended by itself" in record.msg]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.04]


def test_one_that_does_not_answer_is_ended_and_started_again(start: Start, caplog: pytest.LogCaptureFixture):
    process = start("sleep", "1000", limits=WatchLimits(interval=0.05, start=0.3, first_pause=0.01))
    before = process.pid
    until(lambda: process.pid != before)
    assert "has not answered for 0 s" in caplog.text
    assert not Path(f"/proc/{before}").exists()


def test_one_that_was_stopped_stays_stopped(start: Start):
    process = start("sleep", "1000")
    process.stop(grace=1)
    assert process.restarts == 0 and process.failed() is None
    assert not Path(f"/proc/{process.pid}").exists()


def test_it_is_not_ready_before_it_says_so_again(start: Start, tmp_path: Path):
    start("sleep", "1000")
    assert not (tmp_path / "ready").exists()
