"""Encrypted connections."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import intarsia
from intarsia import errors
from tests.intarsia.conftest import QUICK
from tests.intarsia.double import Double, serve


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself; its key lies beside it."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/roots.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return tmp_path / "roots.pem"


@pytest.fixture
def encrypted(double: Double, certificate: Path) -> Iterator[str]:
    pair = (certificate.with_name("key.pem").read_bytes(), certificate.read_bytes())
    server, address = serve(double, grpc.ssl_server_credentials([pair]))
    yield address
    server.stop(None).wait()


@pytest.mark.parametrize("kind", [str, Path, Path.read_bytes])
def test_a_root_certificate_opens_the_connection(
    kind: type, encrypted: str, double: Double, certificate: Path
) -> None:
    with intarsia.Client(encrypted, tls=kind(certificate), token="secret") as client:
        client.upload(b"a picture")
    assert double.metadata[0]["authorization"] == "Bearer secret"


async def test_asyncio_too(encrypted: str, certificate: Path) -> None:
    async with intarsia.AsyncClient(encrypted, tls=certificate) as client:
        assert (await client.upload(b"a picture")).size_bytes == 9


def test_an_unknown_certificate_is_not_trusted(encrypted: str) -> None:
    with intarsia.Client(encrypted, tls=True, retry=QUICK) as client, pytest.raises(errors.ModelDown):
        client.upload(b"a picture")
