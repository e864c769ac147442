"""Debian's packages that only tests need (`requirements/debian.txt`)."""

from __future__ import annotations

import os

import pytest

# Set where the tests must not be skipped.
REQUIRED = "INTARSIA_TESTS_NEED_DEBIAN_PACKAGES"


def skip_without(package: str, *, installed: bool) -> None:
    """Skips the test if the package is not installed, unless none may be skipped."""
    if not installed and not os.environ.get(REQUIRED):
        pytest.skip(f"{package} is not installed: apt-get install {package}")
