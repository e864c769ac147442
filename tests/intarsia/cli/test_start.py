"""The command as a process: a Ctrl-C while it is still being loaded, a reader that leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["intarsia", *{arguments!r}]
from intarsia.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("grpc", ["jobs", "list"]), ("intarsia.cli.usage", ["--help"]), ("deploy.local.__main__", ["up"])],
)
def test_a_ctrl_c_during_its_imports_leaves_no_traceback(module: str, arguments: list[str]) -> None:
    script = INTERRUPTED.format(module=module, arguments=arguments)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "intarsia: cancelled\n")


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "intarsia", "jobs", "show", "--server", "nowhere", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "--server: 'nowhere' names no port" in ended.stderr


@pytest.mark.parametrize("arguments", [["weights", "list"], ["completion", "bash"]])
def test_a_reader_that_leaves_causes_no_traceback(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "intarsia", *arguments]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
