"""The Python reference in `docs/sdk.md` is what the docstrings say now."""

from __future__ import annotations

import runpy
from pathlib import Path

import intarsia

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "sdk.md").read_text(encoding="utf-8")


def test_the_reference_is_fresh() -> None:
    page = runpy.run_path(str(DOCS / "make_sdk.py"))["page"]
    assert page() == PAGE, "run `make docs`"


def test_every_name_of_the_package_is_in_the_reference() -> None:
    assert [name for name in intarsia.__all__ if f"`{name}`" not in PAGE and f"# {name}\n" not in PAGE] == []
