from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia.cli import main
from tests.intarsia.double import Double, serve

QUICK = intarsia.RetryPolicy(attempts=4, first_pause=0.01, longest_pause=0.05)


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def server(double: Double) -> Iterator[str]:
    """The address of a running double."""
    server, address = serve(double)
    yield address
    server.stop(None).wait()


@pytest.fixture
def client(server: str) -> Iterator[intarsia.Client]:
    with intarsia.Client(server, retry=QUICK) as client:
        yield client


@pytest.fixture
async def async_client(server: str) -> AsyncIterator[intarsia.AsyncClient]:
    async with intarsia.AsyncClient(server, retry=QUICK) as client:
        yield client


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file to send; the double does not care that it is no picture."""
    path = tmp_path / "photo.png"
    path.write_bytes(b"a picture of something")
    return path


@pytest.fixture
def told(
    server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Any:
    """Runs a command in this process; its exit code, and what it said on either side."""
    monkeypatch.setenv("INTARSIA_SERVER", server)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
