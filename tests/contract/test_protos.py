"""The wire: its generated code is fresh, its protos are tidy, and no release before it breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATE = [sys.executable, str(ROOT / "protos" / "generate.py")]


def test_protos_are_tidy_compatible_and_generated() -> None:
    ran = subprocess.run([*GENERATE, "--check"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("proto", "before", "after", "complaint"),
    [
        ("jobs", "string request_id = 7;", "string request_id = 17;", "request_id"),
        ("region", "  // Left edge.\n", "", "comment"),
        (
            "artifacts",
            "int64 offset = 2;",
            "int64 offset = 2;\n  // New.\n  int64 count = 3;",
            "artifacts_pb2.py",
        ),
    ],
    ids=["a field that moved", "a comment that is missing", "code that is stale"],
)
def test_the_check_finds_faults(proto: str, before: str, after: str, complaint: str, tmp_path: Path) -> None:
    for folder in ("protos", "intarsia/v1"):
        for source in (ROOT / folder).rglob("*"):
            if source.is_file() and "__pycache__" not in source.parts:
                target = tmp_path / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    changed = tmp_path / "protos" / "intarsia" / "v1" / f"{proto}.proto"
    text = changed.read_text()
    assert before in text
    changed.write_text(text.replace(before, after))
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "protos" / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert ran.returncode != 0
    assert complaint in ran.stdout + ran.stderr
