"""A child ends with its parent, and nothing of the parent runs between fork and exec."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local import parent_death
from deploy.local.process import ChildProcess

# Starts `sleep` and prints its id, and how often handlers of fork ran: Python's, and those of C, which
# gRPC registers too.
PARENT = """
import ctypes, os, sys
from pathlib import Path
from deploy.local.process import ChildProcess

ran = []
os.register_at_fork(before=lambda: ran.append("Python"))
handler = ctypes.CFUNCTYPE(None)(lambda: ran.append("C"))
ctypes.CDLL(None).__register_atfork(handler, None, None, None)
child = ChildProcess(["sleep", "60"], environment=os.environ, log=Path(sys.argv[1]))
print(child.pid, len(ran), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def started(tmp_path: Path):
    """A process with a child, and what it printed."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        yield parent, parent.stdout.readline().split()
        parent.kill()


def become(child: psutil.Process, program: str) -> None:
    """Returns once the child runs the program."""
    while child.name() != program:
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        os.sched_yield()


def test_a_child_ends_with_a_parent_that_is_killed(started):
    parent, (pid, _) = started
    child = psutil.Process(int(pid))
    become(child, "sleep")
    parent.kill()
    assert not psutil.wait_procs([child], timeout=10.0)[1]


def test_no_handler_of_fork_runs(started):
    _, (_, ran) = started
    assert ran == "0"


def test_a_program_whose_parent_has_ended_already_is_not_started(tmp_path: Path):
    command = [sys.executable, parent_death.__file__, "1", "touch", str(tmp_path / "made")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "process 1 has ended" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_program_that_cannot_be_started_is_named_in_the_log(tmp_path: Path):
    child = ChildProcess([str(tmp_path / "absent")], environment=os.environ, log=tmp_path / "log")
    assert child.ended(within=10.0) and child.exit_code == 1
    assert "absent cannot be started: [Errno 2] No such file or directory" in child.log_tail()


def test_a_program_begins_with_default_signals(tmp_path: Path):
    child = ChildProcess(
        ["grep", "SigIgn", "/proc/self/status"], environment=os.environ, log=tmp_path / "log"
    )
    assert child.ended(within=10.0)
    ignored = int(child.log_tail().split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
