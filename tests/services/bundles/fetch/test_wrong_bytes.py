"""What a hub sends, or a cache holds, is compared with the description; other bytes are refused."""

from __future__ import annotations

import io
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.services.bundles.fetch.conftest import COMMIT, LATER


def test_wrong_bytes_under_the_right_digest_are_refused_and_forgotten(ip2p, hub, command, tmp_path, capsys):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    good = ip2p.files[name]
    hub.lies[name] = good[:-1] + bytes([good[-1] ^ 1])
    assert command(ip2p) == 1
    assert "was expected; it is not used" in capsys.readouterr().err
    assert not (tmp_path / "full" / "ip2p").exists()
    hub.lies.clear()
    assert command(ip2p) == 0, "the next fetch is not held to the wrong bytes"


def test_wrong_bytes_in_the_cache_are_refused_too(ip2p, command, own_cache, tmp_path, capsys):
    assert command(ip2p) == 0
    shutil.rmtree(tmp_path / "full")
    blob = max(
        (own_cache / "models--authors--ip2p" / "blobs").iterdir(), key=lambda file: file.stat().st_size
    )
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert command(ip2p) == 1
    assert "has SHA-256" in capsys.readouterr().err
    assert command(ip2p) == 0


@pytest.mark.parametrize("more", [1, -1, 1 << 20])
def test_a_size_that_was_not_published_is_refused_before_anything_is_fetched(
    ip2p, hub, command, capsys, more
):
    name = "vae/diffusion_pytorch_model.fp16.safetensors"
    hub.announced[name] = len(ip2p.files[name]) + more
    assert command(ip2p) == 1
    assert "were expected; it is not fetched" in capsys.readouterr().err and not hub.downloads


def test_more_bytes_than_were_announced_do_not_fill_the_disk(ip2p, hub, command, own_cache, capsys):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    hub.lies[name] = ip2p.files[name] + bytes(1 << 22)
    assert command(ip2p) == 1
    assert "more came than the" in capsys.readouterr().err
    kept = sum(file.stat().st_size for file in own_cache.rglob("*") if file.is_file())
    assert kept <= sum(len(content) for content in ip2p.files.values()) + 4096


def test_a_hub_that_answers_with_another_commit_is_not_believed(ip2p, hub, command, capsys):
    hub.other_commit = LATER
    assert command(ip2p) == 1
    assert f"with commit {LATER} where {COMMIT} was asked for" in capsys.readouterr().err


def test_a_wrong_file_that_the_cache_only_links_to_is_not_removed(ip2p, command, own_cache, tmp_path):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    linked = own_cache / "models--authors--ip2p" / "snapshots" / COMMIT / name
    linked.parent.mkdir(parents=True)
    (tmp_path / "mine").write_bytes(b"of the user")
    linked.symlink_to(tmp_path / "mine")
    assert command(ip2p) == 1
    assert (tmp_path / "mine").exists() and not linked.is_symlink()
    assert command(ip2p) == 0


def test_a_pickle_with_code_in_it_is_not_run(sam2, hub, command, tmp_path, capsys):
    class Attack:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "owned", "!"))

    content = io.BytesIO()
    torch.save({"model": {"weight": torch.ones(1)}, "more": Attack()}, content, pickle_module=pickle)
    hub.publish("authors/sam2", COMMIT, {"sam2.pt": content.getvalue()})
    files = tuple(replace(file, size=None, sha256=None) for file in sam2.source.files)
    assert command(sam2, "--trust-first-use", files=files) == 1
    assert "it holds more than weights" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists() and not (tmp_path / "full" / "sam").exists()
