"""Gated repositories and the token: who needs it, who gets it, and what is said without access."""

from __future__ import annotations

import pytest

from tests.services.bundles.fetch.small_hub import TOKEN


def test_a_gated_repository_needs_a_token_before_anyone_is_asked(ip2p, hub, command, capsys):
    hub.gated.add("authors/ip2p")
    assert command(ip2p, gated=True) == 1
    said = capsys.readouterr().err
    assert "authors/ip2p is gated" in said and "HF_TOKEN" in said and not hub.requests


def test_the_token_goes_to_the_hub_only_and_is_written_nowhere(
    ip2p, hub, command, monkeypatch, tmp_path, capfd
):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.gated.add("authors/ip2p")
    assert command(ip2p, gated=True) == 0
    assert {request.token for request in hub.requests if request.storage} == {None}
    assert any(request.token == f"Bearer {TOKEN}" for request in hub.requests)
    written = "".join(capfd.readouterr())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert TOKEN not in written and not any(TOKEN.encode() in file.read_bytes() for file in files)


def test_an_open_repository_is_asked_without_the_token(ip2p, hub, command, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert command(ip2p) == 0
    assert {request.token for request in hub.requests} == {None}


@pytest.mark.parametrize("token", ["hf_of_somebody_else"])
def test_a_token_without_access_is_told_apart(ip2p, hub, command, monkeypatch, capfd, token):
    monkeypatch.setenv("HF_TOKEN", token)
    hub.gated.add("authors/ip2p")
    assert command(ip2p, gated=True) == 1
    said = capfd.readouterr().err
    assert "your token may not read it (status 403)" in said and token not in said


def test_a_repository_that_turned_out_to_be_gated_is_said(ip2p, hub, command, capsys):
    hub.gated.add("authors/ip2p")
    assert command(ip2p) == 1
    assert "is gated: accept its terms there" in capsys.readouterr().err
