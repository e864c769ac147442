"""The wheel is the client alone: every module of it can be imported with the declared dependencies."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

# Runs in a folder of its own. The path of the tests, and everything else that is installed, is out of reach.
IMPORTS = """
import importlib, json, pkgutil, sys

target, allowed = sys.argv[1], set(json.loads(sys.argv[2]))

class Closed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is no declared dependency", name=name)

sys.path.insert(0, target)
sys.meta_path.insert(0, Closed())
names = [m.name for m in pkgutil.walk_packages([target + "/intarsia"], "intarsia.")]
modules = [importlib.import_module(name) for name in names if not name.endswith(".__main__")]
print(json.dumps([module.__file__ for module in modules]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def dependencies(requirements: list[str]) -> set[str]:
    """The distributions that these need, and those that they need in turn; without extras."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = requirement.name.lower().replace("_", "-")
        if name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += distribution(name).requires or []
    return found


def test_every_module_can_be_imported_with_the_declared_dependencies(installed: Path, tmp_path: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    declared = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    needed = dependencies(declared)
    allowed = {
        package
        for package, names in packages_distributions().items()
        if needed & {name.lower().replace("_", "-") for name in names}
    }
    command = [
        sys.executable,
        "-I",
        "-c",
        IMPORTS,
        str(installed),
        json.dumps(["intarsia", *sorted(allowed)]),
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    imported = {Path(file) for file in json.loads(ran.stdout)}
    modules = {file for file in (installed / "intarsia").rglob("*.py") if file.name != "__main__.py"}
    assert imported == modules - {installed / "intarsia" / "__init__.py"}


def test_the_wheel_holds_nothing_but_the_client(installed: Path) -> None:
    folders = {path.name for path in installed.iterdir()}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"intarsia", "bin"}
    source = {path.relative_to(ROOT) for path in (ROOT / "intarsia").rglob("*.py")}
    assert {path.relative_to(installed) for path in (installed / "intarsia").rglob("*.py")} == source
