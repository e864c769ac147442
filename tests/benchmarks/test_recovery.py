"""What is concluded from the jobs of clients around a death."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import recovery
from benchmarks.recovery import Death, Load, Outcome, trial
from intarsia.errors import ModelDown
from tests.intarsia.double import Double, serve


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


class Job:
    """A job that ends with the death of a process, or soon after a start."""

    def __init__(self, victim: subprocess.Popen[bytes], error: Exception | None, waiting: list[Job]) -> None:
        self._victim, self._error, self._waiting = victim, error, waiting

    def result(self, timeout: float) -> None:
        if self._victim.poll() is not None:
            return
        self._waiting.append(self)
        self._victim.wait(timeout)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("error", "finished", "met"),
    [(None, 2, True), (ModelDown("it has gone"), 0, False)],
    ids=["ok", "failed"],
)
def test_jobs_in_flight_must_finish(
    victim: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    finished: int,
    met: bool,
) -> None:
    waiting: list[Job] = []
    monkeypatch.setattr(recovery, "process_of", lambda stack, name: victim.pid)
    monkeypatch.setattr(Load, "in_the_middle", property(lambda load: len(waiting) == load.clients))
    server, address = serve(Double())

    class Stack:
        """Stands for a stack at this address."""

    stack: Any = Stack()
    stack.address = address
    line = trial(
        stack, Death("vae", "edit"), lambda client, seed: Job(victim, error, waiting), clients=2, limit=20
    )  # type: ignore[arg-type, return-value]
    server.stop(None).wait()
    assert (line["in_flight"], line["finished"], line["met"]) == (2, finished, met)
    assert line["new_s"] is not None and victim.returncode == -signal.SIGKILL
    assert (line["why"] is None) == (error is None)


def test_a_job_is_in_flight_between_its_start_and_its_end() -> None:
    load = Load("localhost:1", lambda client, seed: None, 0)  # type: ignore[arg-type, return-value]
    load.outcomes += [Outcome(1, 2), Outcome(1, 4), Outcome(3, 4)]
    assert load.in_flight(2.5) == [Outcome(1, 4)]


def test_the_middle_needs_a_job_of_every_client_that_is_done() -> None:
    load = Load("localhost:1", lambda client, seed: None, 1)  # type: ignore[arg-type, return-value]
    load._current[0] = 0.0
    assert not load.in_the_middle
    load.outcomes.append(Outcome(1, 2))
    assert load.in_the_middle
