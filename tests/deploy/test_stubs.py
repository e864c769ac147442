"""Processes of models are found below their server, and their end is told once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stubs import Stubs
from tests.e2e.waiting import until

MODELS = ("sam", "vae")
# A server in miniature: a child for each line that it reads, the path of a model. It buries none of them.
SERVER = """
import subprocess, sys
children = []
for line in sys.stdin:
    children.append(subprocess.Popen(["sh", "-c", "sleep 1000; :", line.strip()]))
    print(children[-1].pid, flush=True)
"""


class Server:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def load(self, model: str) -> int:
        """The process of a model."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"/somewhere/{model}/1/model.py\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def running(self) -> int | None:
        return self.process.pid if self.process.poll() is None else None


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    os.killpg(made.process.pid, 9)
    made.process.wait()
    for pipe in (made.process.stdin, made.process.stdout):
        assert pipe is not None
        pipe.close()


def test_the_end_of_a_process_is_told_once(server: Server):
    stubs, processes = Stubs(server.running), {model: server.load(model) for model in MODELS}
    assert stubs.ended(MODELS) == stubs.ended(MODELS) == []
    os.kill(processes["vae"], 9)
    until(lambda: stubs.ended(MODELS) == ["vae"])
    assert stubs.ended(MODELS) == []
    os.kill(server.load("vae"), 0)
    assert stubs.ended(MODELS) == []


def test_a_process_that_was_replaced_is_forgotten(server: Server):
    stubs, first = Stubs(server.running), server.load("sam")
    assert stubs.ended(MODELS) == []
    os.kill(first, 9)
    second = server.load("sam")
    stubs.forget()
    assert stubs.ended(MODELS) == []
    os.kill(second, 9)
    until(lambda: stubs.ended(MODELS) == ["sam"])


def test_the_end_of_the_server_is_not_that_of_its_models(server: Server):
    stubs = Stubs(server.running)
    server.load("sam")
    assert stubs.ended(MODELS) == []
    os.killpg(server.process.pid, 9)
    server.process.wait()
    assert stubs.ended(MODELS) == []


def test_processes_that_may_not_be_read_are_not_models(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Those of other users, on a machine that hides them."""
    read, process = Path.read_text, server.load("vae")

    def refuse(file: Path, *arguments: Any) -> str:
        if file.parts[:3] == ("/", "proc", str(os.getpid())):
            raise PermissionError(file)
        return read(file, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    stubs = Stubs(server.running)
    assert stubs.ended(MODELS) == []
    os.kill(process, 9)
    until(lambda: stubs.ended(MODELS) == ["vae"])


def test_a_server_that_does_not_run_has_no_processes():
    assert Stubs(lambda: None).ended(MODELS) == []
