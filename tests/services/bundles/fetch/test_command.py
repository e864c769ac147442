"""`intarsia weights fetch`: plans, questions, terms to accept, and addresses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.bundles.cli import main


def test_academic_licences_must_be_accepted(ip2p, command, capsys):
    licence = replace(ip2p.source.licence, academic_only=True)
    assert command(ip2p, licence=licence) == 1
    assert "--accept-academic-use" in capsys.readouterr().err
    assert command(ip2p, "--accept-academic-use", licence=licence) == 0
    assert "only academic use is allowed" in capsys.readouterr().out


def test_a_plan_fetches_nothing(ip2p, hub, command, tmp_path, capsys):
    assert command(ip2p, "--plan", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["repository"] == "authors/ip2p" and plan["licence"]["name"] == "SAM License"
    assert sum(file["missing"] for file in plan["files"]) == sum(map(len, ip2p.files.values()))
    assert not hub.downloads and not (tmp_path / "full").exists()


def test_nobody_is_asked_where_nobody_can_answer(ip2p, hub, command, tmp_path, monkeypatch, capsys):
    sources = ip2p.describe(tmp_path / "sources")
    words = ["fetch", "ip2p", "--to", str(tmp_path / "full"), "--sources", str(sources)]
    words += ["--endpoint", hub.endpoint]
    assert main(words) == 1
    assert "say --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(words) == 1 and not hub.downloads


@pytest.mark.parametrize("endpoint", ["ftp://example.org", "example.org"])
def test_an_endpoint_is_an_address(ip2p, command, capsys, endpoint):
    assert command(ip2p, "--endpoint", endpoint, online=False) == 1
    assert "the endpoint must begin with https://" in capsys.readouterr().err
