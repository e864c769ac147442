"""What is published becomes a bundle, from a hub, a cache or a folder, with its terms beside it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from deploy.local.models import repository_models, served_models
from services.bundles.bundle import Bundle
from services.bundles.cli import main
from services.bundles.verify import verify
from services.ip2p_unet.family import InstructPix2Pix
from tests.services.bundles.fetch.conftest import CLIP, COMMIT
from tests.services.bundles.fetch.small_hub import LARGE


def equal(bundle: Bundle, other: Bundle, component: str) -> bool:
    ours, theirs = bundle.network(component).state_dict(), other.network(component).state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["ip2p", "sd2_inpaint"])
def test_a_publication_in_diffusers_layout_becomes_its_bundle(
    name, request, command, weights, tmp_path, capsys
):
    assert command(request.getfixturevalue(name)) == 0
    bundle, published = Bundle.open(tmp_path / "full" / name), Bundle.open(weights / name)
    assert all(equal(bundle, published, part) for part in ("unet", "vae", "text_encoder"))
    assert bundle.tokenizer()("red").input_ids == published.tokenizer()("red").input_ids
    assert bundle.defaults == published.defaults
    shown = capsys.readouterr().out
    assert f"authors/{name} at {COMMIT}" in shown and "SAM License" in shown and "now: intarsia up" in shown


def test_a_pickle_becomes_a_bundle_by_its_tensors_alone(sam2, command, weights, tmp_path):
    assert command(sam2) == 0
    assert equal(Bundle.open(tmp_path / "full" / "sam"), Bundle.open(weights / "sam"), "sam")


def test_only_the_files_that_are_read_are_fetched_once_each(ip2p, hub, command):
    assert command(ip2p) == 0
    asked = [request for request in hub.downloads if request.storage or CLIP in request.path]
    assert {request.path.split("/", 5)[5] for request in asked} == {file.name for file in ip2p.source.files}
    large = [content for content in ip2p.files.values() if len(content) > LARGE]
    assert len([request for request in hub.downloads if request.storage]) == len(large)
    assert not any("README" in request.path or "ckpt" in request.path for request in hub.requests)


def test_a_second_fetch_finds_the_bundle_and_asks_nobody(ip2p, hub, command, capsys):
    assert command(ip2p) == 0
    hub.requests.clear()
    capsys.readouterr()
    assert command(ip2p) == 0
    assert "is there already" in capsys.readouterr().out and not hub.requests


def test_what_other_programs_have_fetched_is_used(ip2p, hub, command, tmp_path):
    assert command(ip2p) == 0
    shutil.rmtree(tmp_path / "full")
    hub.requests.clear()
    assert command(ip2p) == 0
    assert not hub.requests


def test_the_notice_has_terms_and_works_and_the_settings_name_the_licence(ip2p, command, tmp_path, capsys):
    assert command(ip2p) == 0
    notice = (tmp_path / "full" / "ip2p" / "NOTICE.md").read_text()
    assert "SAM License" in notice and 'Somebody: "A Paper". 2023.' in notice and COMMIT in notice
    assert "IN NO EVENT WILL META" in notice, "the whole text of the licence"
    licence = json.loads((tmp_path / "full" / "ip2p" / "intarsia.json").read_text())["licence"]
    assert licence["name"] == "SAM License" and licence["source"] == f"authors/ip2p@{COMMIT}"
    bundle = Bundle.open(tmp_path / "full" / "ip2p")
    assert bundle.licences == ["SAM License; https://example.org/licence"]
    capsys.readouterr()
    assert main(["list", str(tmp_path / "full")]) == 0
    assert "licence      SAM License; https://example.org/licence" in capsys.readouterr().out
    facts = InstructPix2Pix(bundle, torch.device("cpu"), torch.float32).facts()
    assert facts["licences"] == bundle.licences, "from which manifests have it"


def test_a_folder_needs_no_network(ip2p, hub, command, weights, tmp_path):
    folder = ip2p.store(tmp_path / "copied")
    assert command(ip2p, "--folder", str(folder), online=False) == 0
    assert not hub.requests
    assert equal(Bundle.open(tmp_path / "full" / "ip2p"), Bundle.open(weights / "ip2p"), "unet")
    assert (folder / "tokenizer" / "vocab.json").is_file(), "the folder stays as it was"


def test_a_folder_is_checked_like_a_hub(ip2p, command, tmp_path, capsys):
    folder = ip2p.store(tmp_path / "copied")
    (folder / "tokenizer" / "merges.txt").unlink()
    assert command(ip2p, "--folder", str(folder), online=False) == 1
    assert "merges.txt is missing: --folder names" in capsys.readouterr().err
    ip2p.store(folder)
    (folder / "tokenizer" / "merges.txt").write_bytes(b"#version: 0.2\n")
    assert command(ip2p, "--folder", str(folder), online=False) == 1
    assert "tokenizer/merges.txt from" in capsys.readouterr().err
    assert not (tmp_path / "full" / "ip2p").exists()


@pytest.mark.parametrize("order", [("sam2", "sam3"), ("sam3", "sam2")])
def test_a_sam_is_put_together_in_any_order(order, request, command, tmp_path):
    assert [command(request.getfixturevalue(name)) for name in order] == [0, 0]
    bundle = Bundle.open(tmp_path / "full" / "sam")
    assert set(bundle.components) == {"sam", "text_head"} and verify(bundle.folder).sound
    assert all((bundle.folder / place / "NOTICE.md").is_file() for place in ("", "text_head"))


def test_what_was_fetched_is_all_that_the_stack_serves(ip2p, sd2_inpaint, sam2, command, tmp_path):
    assert [command(publication) for publication in (ip2p, sd2_inpaint, sam2)] == [0, 0, 0]
    assert served_models(tmp_path / "full") == repository_models()


def test_weights_that_do_not_fit_the_configs_are_no_bundle(ip2p, sd2_inpaint, command, tmp_path, capsys):
    ip2p.config = sd2_inpaint.config
    assert command(ip2p) == 1
    assert "the conversion came out wrong" in capsys.readouterr().err
    assert [child.name for child in (tmp_path / "full").iterdir() if child.is_dir()] == []
