"""`intarsia weights fetch` against a small hub: what arrives is what was published, or nothing does."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deploy.local.models import repository_models, served_models
from services.bundles.bundle import Bundle
from services.bundles.cli import main
from services.bundles.errors import BundleError
from services.bundles.fetch import hub as ours
from services.bundles.source import read
from services.bundles.verify import verify
from services.ip2p_unet.family import InstructPix2Pix
from tests.services.bundles.fetch.conftest import CLIP, COMMIT, LATER, Publication
from tests.services.bundles.fetch.small_hub import LARGE, TOKEN


@pytest.fixture
def command(tmp_path: Path):
    """Runs the command for a publication; gives its exit code."""

    def run(publication: Publication, *options: str, online: bool = True, **changes: object) -> int:
        sources = publication.describe(tmp_path / "sources", **changes)
        words = ["fetch", publication.source.name, "--to", str(tmp_path / "full"), "--sources", str(sources)]
        words += ["--config", str(publication.config), "--yes", *options]
        return main([*words, "--endpoint", publication.hub.endpoint] if online else words)

    return run


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


def test_wrong_bytes_under_the_right_digest_are_refused_and_forgotten(ip2p, hub, command, tmp_path, capsys):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    good = ip2p.files[name]
    hub.lies[name] = good[:-1] + bytes([good[-1] ^ 1])
    assert command(ip2p) == 1
    assert "was published; it is not used" in capsys.readouterr().err
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
    assert "were published; it is not fetched" in capsys.readouterr().err and not hub.downloads


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
    assert "was published; it is not used" in capsys.readouterr().err


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


def test_no_room_is_said_before_anything_is_fetched(ip2p, hub, command, monkeypatch, capsys):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    assert command(ip2p) == 1
    assert "no room:" in capsys.readouterr().err and not hub.downloads


def test_a_disk_that_fills_up_is_said_and_the_rest_comes_later(ip2p, hub, command, monkeypatch, capsys):
    write = ours._Bounded.write

    def full(self, data):
        if self.tell() > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(ours._Bounded, "write", full)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    assert command(ip2p) == 1
    assert "could not be kept in" in (said := capsys.readouterr().err) and "No space left" in said
    monkeypatch.setattr(ours._Bounded, "write", write)
    assert command(ip2p) == 0
    assert any(request.start > 100_000 for request in hub.downloads), "it went on where the disk was full"


def test_two_fetches_into_one_folder_do_not_mix(ip2p, hub, command, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    with (tmp_path / "full" / ".fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert command(ip2p) == 1
    assert "another fetch works in" in capsys.readouterr().err and not hub.downloads
    assert command(ip2p) == 0


def test_a_fetch_that_is_interrupted_ends_quietly_and_goes_on_later(
    ip2p, hub, command, monkeypatch, tmp_path, capsys
):
    write = ours._Bounded.write

    def interrupted(self, data):
        if self.tell() > 100_000:
            raise KeyboardInterrupt
        return write(self, data)

    monkeypatch.setattr(ours._Bounded, "write", interrupted)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    assert command(ip2p) == 130
    assert "run it again to go on" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "full").iterdir()] == [".fetch.lock"]
    monkeypatch.setattr(ours._Bounded, "write", write)
    assert command(ip2p) == 0 and any(request.start > 100_000 for request in hub.downloads)


def test_a_wrong_file_that_the_cache_only_links_to_is_not_removed(ip2p, command, own_cache, tmp_path):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    linked = own_cache / "models--authors--ip2p" / "snapshots" / COMMIT / name
    linked.parent.mkdir(parents=True)
    (tmp_path / "mine").write_bytes(b"of the user")
    linked.symlink_to(tmp_path / "mine")
    assert command(ip2p) == 1
    assert (tmp_path / "mine").exists() and not linked.is_symlink()
    assert command(ip2p) == 0


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


@pytest.mark.parametrize("endpoint", ["ftp://example.org", "example.org"])
def test_an_endpoint_is_an_address(ip2p, command, capsys, endpoint):
    assert command(ip2p, "--endpoint", endpoint, online=False) == 1
    assert "the endpoint must begin with https://" in capsys.readouterr().err


def test_a_hub_that_is_away_is_said(ip2p, hub, command, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.close()
    assert command(ip2p) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_sources_that_are_described_wrongly_are_named(ip2p, tmp_path):
    file = ip2p.describe(tmp_path / "sources") / "ip2p.toml"
    text = file.read_text()
    for old, new, words in (
        (f'commit = "{COMMIT}"', 'commit = "main"', "commit must be lower-case hexadecimal"),
        ("size = ", "size = -", 'size must be bytes, or "unknown"'),
        ('path = "unet/', 'path = "../unet/', "path must be a path below a folder"),
        ('becomes = "ip2p"', 'becomes = "/ip2p"', "becomes must be a path below"),
        ('layout = "diffusers"', 'layout = "x"', "layout must be one of"),
        ("gated = false", "gated = 1", "gated must be true or false"),
        ("title", "title title", "is no description of a source"),
        ('texts = ["sam.txt"]', 'texts = ["../sam.txt"]', "licence.texts must be"),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(BundleError, match=words):
            read(file)
