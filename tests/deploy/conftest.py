"""Weights for all tests here, which only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import tiny


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random bundles of every component."""
    return tiny.write(tmp_path_factory.mktemp("weights"))
