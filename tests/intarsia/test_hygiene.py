"""The client stays light: what it imports, how fast it starts, which Pythons can read it."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import intarsia

PACKAGE = Path(intarsia.__file__).parent
LIGHT = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {"cython_runtime", "google", "intarsia", "tqdm", "typing_extensions"}


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import intarsia, intarsia.cli, intarsia.client, intarsia.cli.progress\n"
        "intarsia.Client, intarsia.AsyncClient, intarsia.click\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = {name for name in ran.stdout.split() if name not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith(("_", "grpc"))} <= ALLOWED


def test_the_package_itself_costs_nothing() -> None:
    code = "import sys, intarsia, intarsia.errors; assert not {'grpc', 'google', 'tqdm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_comes_at_once() -> None:
    best = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "intarsia", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Time of the processor: what else runs on this machine does not count.
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert best < 1.5


def test_completion_knows_commands_of_the_server_without_torch() -> None:
    """A shell that is started may run it."""
    code = (
        "import sys; from intarsia.cli import main\n"
        "main(['completion', 'bash']); assert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "weights convert" in ran.stdout


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_oldest_python_can_read_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 10))


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(intarsia, name) is not None for name in intarsia.__all__)
    assert set(intarsia.__all__) <= set(dir(intarsia))
    with pytest.raises(AttributeError, match="Studio"):
        intarsia.Studio  # noqa: B018
