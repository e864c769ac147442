"""An orchestrator that is told to stop, or killed, in front of a Triton that goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import intarsia
from deploy.local.stack import Stack
from intarsia.errors import ModelDown
from intarsia.retry import RetryPolicy
from tests.e2e.waiting import PATIENCE, edit, photo, running, stepping, until

Orchestrator = Callable[..., tuple[subprocess.Popen[bytes], intarsia.Client]]


@pytest.fixture
def orchestrator(stack: Stack, tmp_path: Path) -> Iterator[Orchestrator]:
    """Starts another orchestrator for the same models, and a client that gives up early."""
    with ExitStack() as leaving:

        def start(drain_seconds: float) -> tuple[subprocess.Popen[bytes], intarsia.Client]:
            ready = tmp_path / "ready.json"
            ready.unlink(missing_ok=True)
            environment = {
                **os.environ,
                "INTARSIA_LISTEN": "127.0.0.1:0",
                "INTARSIA_METRICS_LISTEN": "127.0.0.1:0",
                "INTARSIA_TRITON": stack.triton.url,
                "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts"),
                "INTARSIA_DRAIN_SECONDS": str(drain_seconds),
                "INTARSIA_READY_FILE": str(ready),
            }
            command = [sys.executable, "-m", "orchestrator"]
            process = leaving.enter_context(subprocess.Popen(command, env=environment))
            leaving.callback(process.kill)
            until(lambda: ready.exists() or process.poll() is not None, seconds=60)
            address = json.loads(ready.read_text())["listen"]
            client = intarsia.Client(address, timeout=10, retry=RetryPolicy(attempts=2))
            return process, leaving.enter_context(client)

        yield start


def test_a_running_job_finishes_before_the_server_stops(orchestrator: Orchestrator):
    process, client = orchestrator(drain_seconds=60)
    job = edit(client, photo(), seed=1, steps=200)
    stepping(job)
    process.send_signal(signal.SIGTERM)
    until(lambda: not _takes_jobs(client))
    result = job.result(timeout=PATIENCE)
    assert client.read(result.picture).startswith(b"\x89PNG")
    assert process.wait(30) == 0


def test_a_job_that_takes_longer_than_allowed_is_done_by_the_next_orchestrator(
    stack: Stack, orchestrator: Orchestrator
):
    process, client = orchestrator(drain_seconds=0.5)
    job = edit(client, photo(), seed=1, steps=200)
    stepping(job)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(ModelDown):
        job.result(timeout=PATIENCE)
    assert process.wait(30) == 0
    until(lambda: running(stack.triton) == 0)
    _, client = orchestrator(drain_seconds=60)
    result = client.job(job.name).result(timeout=PATIENCE)
    assert client.read(result.picture).startswith(b"\x89PNG")


def test_a_killed_orchestrator_frees_its_slots_and_the_next_one_goes_on(
    stack: Stack, orchestrator: Orchestrator
):
    process, client = orchestrator(drain_seconds=60)
    job = edit(client, photo(), seed=1, steps=200)
    waiting = edit(client, photo(), seed=2, steps=10)
    stepping(job)
    assert running(stack.triton) >= 1  # probes count, too
    process.kill()
    until(lambda: running(stack.triton) == 0)
    with pytest.raises(ModelDown):
        job.result(timeout=PATIENCE)
    _, client = orchestrator(drain_seconds=60)
    for name in (job.name, waiting.name):
        assert client.job(name).result(timeout=PATIENCE).picture


def _takes_jobs(client: intarsia.Client) -> bool:
    try:
        edit(client, photo(), seed=1, steps=1)
    except ModelDown as refusal:
        assert "shutting down" in str(refusal)
        return False
    return True
