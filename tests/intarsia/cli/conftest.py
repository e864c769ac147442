"""Commands in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ran = subprocess.CompletedProcess[str]


EDIT = ("--click", "120,80", "--instruction", "make it blue")


@pytest.fixture
def cli(server: str, tmp_path: Path) -> Callable[..., Ran]:
    """Runs one command in a process of its own, in a folder of its own."""

    def run(*arguments: object, **settings: Any) -> Ran:
        command = [sys.executable, "-m", "intarsia", *map(str, arguments)]
        environment = {**os.environ, "INTARSIA_SERVER": server}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, **settings
        )

    return run


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]
