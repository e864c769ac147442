"""The way to the server."""

from __future__ import annotations

import pytest

import intarsia


def test_a_proxy_is_not_used_for_this_machine(server: str, monkeypatch: pytest.MonkeyPatch):
    """Where the environment names one, gRPC would send even loopback connections there."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with intarsia.Client(server, timeout=10) as client:
        assert list(client.list_jobs()) == []
