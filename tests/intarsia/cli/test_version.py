"""The version of the client."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import intarsia
from intarsia.cli import main


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"intarsia {version('intarsia')}\n"
    assert intarsia.__version__ == version("intarsia")
