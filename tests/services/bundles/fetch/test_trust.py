"""What no description knows is taken only when told to, and held to later; other repositories are named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from services.bundles.source_toml import read
from tests.services.bundles.fetch.conftest import CLIP, COMMIT, LATER, Publication


def unknown(publication: Publication) -> dict[str, object]:
    """The changes that make commit, sizes and digests unknown."""
    source = publication.source
    files = tuple(
        replace(file, size=None, sha256=None, commit=file.commit if file.repository == CLIP else None)
        for file in source.files
    )
    return {"commit": None, "files": files}


def test_what_is_not_known_is_not_taken_without_being_told_to(ip2p, hub, command, tmp_path, capsys):
    assert command(ip2p, **unknown(ip2p)) == 1
    said = capsys.readouterr().err
    assert "the commit of authors/ip2p" in said and "the SHA-256 of unet/" in said
    assert "--trust-first-use" in said and not hub.requests and not (tmp_path / "full").exists()


def test_what_was_learnt_is_written_beside_the_bundle_and_held_to(ip2p, hub, command, tmp_path, capsys):
    assert command(ip2p, "--trust-first-use", **unknown(ip2p)) == 0
    assert "what comes is taken, and kept in mind" in capsys.readouterr().out
    assert read(tmp_path / "full" / "ip2p.toml") == ip2p.source, "with all that was unknown"
    shutil.rmtree(tmp_path / "full" / "ip2p")
    shutil.rmtree(tmp_path / "cache")
    name = "vae/diffusion_pytorch_model.fp16.safetensors"
    changed = {**ip2p.files, name: ip2p.files[name][:-1] + b"?"}
    hub.publish("authors/ip2p", LATER, changed)
    assert command(ip2p, **unknown(ip2p)) == 0, "the commit that was learnt, though the branch has moved"
    shutil.rmtree(tmp_path / "full" / "ip2p")
    shutil.rmtree(tmp_path / "cache")
    hub.commits["authors/ip2p", COMMIT][name] = changed[name]  # a commit that was written anew
    assert command(ip2p, **unknown(ip2p)) == 1
    assert "was expected; it is not used" in capsys.readouterr().err


def test_a_commit_that_is_gone_is_said(ip2p, hub, command, capsys):
    del hub.commits["authors/ip2p", COMMIT]
    assert command(ip2p) == 1
    assert f"has no commit {COMMIT} (any more)" in capsys.readouterr().err


def test_another_repository_with_the_same_files_needs_no_trust(ip2p, hub, command, tmp_path, capsys):
    hub.publish("others/copy", LATER, ip2p.files)
    assert command(ip2p, "--repo", f"others/copy@{LATER}") == 0
    assert "unaffiliated: named by --repo" in capsys.readouterr().out
    assert read(tmp_path / "full" / "ip2p.toml").repository == "others/copy"
    assert command(ip2p) == 1, "the bundle that is there came from elsewhere"
    assert f"came from others/copy@{LATER}" in capsys.readouterr().err


def test_another_repository_with_other_files_needs_trust(ip2p, sd2_inpaint, hub, command, capsys):
    name = "text_encoder/model.fp16.safetensors"
    other = {**ip2p.files, name: sd2_inpaint.files[name]}
    hub.publish("others/tuned", LATER, other)
    assert command(ip2p, "--repo", f"others/tuned@{LATER}") == 1
    assert "it is not" in capsys.readouterr().err
    assert command(ip2p, "--repo", f"others/tuned@{LATER}", "--trust-first-use") == 0


@pytest.mark.parametrize("text", ["others/copy", "others/copy@main", "copy@" + LATER, "../x@" + LATER])
def test_a_repository_is_named_with_its_commit(ip2p, command, capsys, text):
    assert command(ip2p, "--repo", text) == 1
    assert "--repo must be OWNER/NAME@COMMIT" in capsys.readouterr().err
