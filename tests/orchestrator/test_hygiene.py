"""Who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orchestrator

HERE = Path(orchestrator.__file__).parent
# Each layer may import those below it.
LAYERS = ("api", "jobs", "workflows", "stages", "triton")


def imports() -> Iterator[tuple[Path, str]]:
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield path.relative_to(HERE), node.module
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    yield path.relative_to(HERE), alias.name


def test_no_layer_looks_up() -> None:
    for path, module in imports():
        layer, parts = path.parts[0], module.split(".")
        if layer in LAYERS and parts[0] == "orchestrator" and len(parts) > 1 and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) >= LAYERS.index(layer), f"{path} imports {module}"


def test_only_one_package_knows_triton_and_only_one_the_wire() -> None:
    for path, module in imports():
        if module.startswith("tritonclient"):
            assert path.parts[0] == "triton", path
        if module.startswith("intarsia.v1"):
            assert path.parts[0] == "api", path


def test_models_are_met_at_tensors_only() -> None:
    code = "import sys, orchestrator.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "services", "diffusers", "transformers"} & set(loaded.stdout.split())
