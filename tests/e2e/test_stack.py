"""A stack of its own, from `intarsia up` to its last process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import intarsia
from benchmarks.leftovers import Started
from deploy.local.models import repository_models
from tests.e2e.waiting import PATIENCE, WHERE, edit, photo, stepping, until

MODELS = tuple(model.name for model in repository_models())


@dataclass
class Up:
    """A running `intarsia up`."""

    process: subprocess.Popen[str]
    address: str
    started: Started


@contextmanager
def started(weights: Path, data: Path) -> Iterator[subprocess.Popen[str]]:
    """Started as a user would, on free ports; ended for good, whatever a test made of it."""
    command = [sys.executable, "-m", "intarsia", "up", "--port", "0", "--threads", "1"]
    command += ["--data", str(data), "--weights", str(weights)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)


@contextmanager
def up(weights: Path, data: Path) -> Iterator[Up]:
    """From the moment when it serves."""
    with started(weights, data) as process:
        assert process.stdout is not None
        address = re.fullmatch(r"serving on (\S+)\n", process.stdout.readline())
        assert address, "it says where it serves"
        assert re.match(r"metrics: http://\S+ and http://\S+", process.stdout.readline())
        assert "results with their jobs for 30 days" in process.stdout.readline()
        yield Up(process, address[1], Started.by(process.pid))


def test_the_stack_stops_without_losing_a_job_or_leaving_a_process(weights: Path, tmp_path: Path):
    (tmp_path / "photo.png").write_bytes(photo())
    with up(weights, tmp_path / "data") as stack:
        assert len(stack.started.processes) >= 1 + 2 + 5, "itself, Triton, the orchestrator, five models"
        assert len(stack.started.ports) == 4 and len(stack.started.memory) == len(MODELS)
        edited = _edit_by_command(stack.address, tmp_path)
        outside = np.ones(edited.shape[:2], bool)
        outside[WHERE[1] : WHERE[3], WHERE[0] : WHERE[2]] = False
        before = np.asarray(Image.open(tmp_path / "photo.png"))
        assert np.array_equal(edited[outside], before[outside])
        assert not np.array_equal(edited, before)

        with intarsia.Client(stack.address) as client:
            job = edit(client, photo(), seed=2, steps=200)
            stepping(job)
            stack.process.send_signal(signal.SIGTERM)
            # Few steps are left for half a minute: it is finished, not merely explained.
            assert job.result(timeout=60).picture
        assert stack.process.wait(60) == 0
        kept = list((tmp_path / "data/cache/prices").iterdir())
        assert len(kept) == 2, "both denoisers keep what their passes cost"
        assert not stack.started.still_alive(seconds=0)
    assert not stack.started.ports_answering()
    assert not stack.started.memory_left()


def test_a_stack_stopped_while_it_starts_leaves_nothing(weights: Path, tmp_path: Path):
    with started(weights, tmp_path) as process:
        until(lambda: len(Started.by(process.pid).memory) == len(MODELS), seconds=60)  # models are loading
        begun = Started.by(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not begun.still_alive(seconds=5)
    assert not begun.memory_left()


def test_when_the_stack_is_killed_all_its_processes_end(weights: Path, tmp_path: Path):
    with up(weights, tmp_path) as stack:
        stack.process.kill()
        assert not stack.started.still_alive(seconds=30)
    assert not stack.started.ports_answering()
    assert not stack.started.memory_left()


def _edit_by_command(address: str, folder: Path) -> np.ndarray:
    command = [sys.executable, "-m", "intarsia", "edit-region", "photo.png", "-o", "out.png"]
    command += ["--rectangle", ",".join(map(str, WHERE)), "--instruction", "make it blue", "--steps", "3"]
    environment = {**os.environ, "INTARSIA_SERVER": address}
    subprocess.run(command, check=True, cwd=folder, env=environment, timeout=PATIENCE)
    return np.asarray(Image.open(folder / "out.png"))
