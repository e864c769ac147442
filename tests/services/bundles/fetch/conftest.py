"""Four small publications on a small hub, described as those of full size are."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from services.bundles.cli import main
from services.bundles.source import Citation, Licence, SourceFile, WeightSource
from services.bundles.source_toml import to_toml
from tests.services.bundles.fetch.small_hub import SmallHub
from tests.services.sam import sam3 as small_sam3
from training.tiny import vocabulary

COMMIT, LATER = "c" * 40, "d" * 40
CLIP, CLIP_COMMIT = "openai/clip", "e" * 40
LICENCE = Licence("SAM License", "https://example.org/licence", False, ("sam.txt",))
WORKS = (Citation("A work", 'Somebody: "A Paper". 2023.', "https://example.org/paper"),)


@dataclass
class Publication:
    """A source on the hub, its files, and the configs of its networks, which are small."""

    hub: SmallHub
    source: WeightSource
    files: dict[str, bytes]
    config: Path

    def describe(self, folder: Path, **changes: object) -> Path:
        """Writes the description into a folder; gives that."""
        folder.mkdir(exist_ok=True)
        text = to_toml(replace(self.source, **changes))  # type: ignore[arg-type]
        (folder / f"{self.source.name}.toml").write_text(text)
        return folder

    def store(self, folder: Path) -> Path:
        """The files in a folder, as one would copy them by hand."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Downloads are kept in a folder of the test, and no token of whoever runs it is found."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return cache


@pytest.fixture
def hub() -> Iterator[SmallHub]:
    hub = SmallHub()
    yield hub
    hub.close()


@pytest.fixture
def ip2p(hub: SmallHub, weights: Path) -> Publication:
    return _latent(hub, "ip2p", weights)


@pytest.fixture
def sd2_inpaint(hub: SmallHub, weights: Path) -> Publication:
    return _latent(hub, "sd2_inpaint", weights)


@pytest.fixture
def sam2(hub: SmallHub, weights: Path) -> Publication:
    content = io.BytesIO()
    torch.save({"model": load_file(weights / "sam" / "model.safetensors")}, content)
    return _publication(
        hub, "sam2", "sam", "sam2", {"sam2.pt": content.getvalue()}, {}, weights / "sam" / "config.yaml"
    )


@pytest.fixture
def sam3(hub: SmallHub, tmp_path: Path) -> Publication:
    """As its authors publish it: one pickle, without the vocabulary."""
    folder = tmp_path / "sam3"
    settings = small_sam3.config(vocabulary.write(folder))
    content = io.BytesIO()
    torch.save({"model": small_sam3.as_original(small_sam3.network(settings).state_dict())}, content)
    (folder / "config.json").write_text(json.dumps(settings))
    words = {file: (folder / file).read_bytes() for file in ("vocab.json", "merges.txt")}
    files = {"sam3.pt": content.getvalue()}
    return _publication(hub, "sam3", "sam/text_head", "sam3", files, words, folder / "config.json")


@pytest.fixture
def command(tmp_path: Path):
    """Runs the command for a publication; gives its exit code."""

    def run(publication: Publication, *options: str, online: bool = True, **changes: object) -> int:
        sources = publication.describe(tmp_path / "sources", **changes)
        words = ["fetch", publication.source.name, "--to", str(tmp_path / "full"), "--sources", str(sources)]
        words += ["--config", str(publication.config), "--yes", *options]
        return main([*words, "--endpoint", publication.hub.endpoint] if online else words)

    return run


def _latent(hub: SmallHub, name: str, weights: Path) -> Publication:
    bundle = weights / name
    files = {
        f"{part}/{file}.fp16.safetensors": (bundle / part / f"{file}.safetensors").read_bytes()
        for part, file in (
            ("unet", "diffusion_pytorch_model"),
            ("vae", "diffusion_pytorch_model"),
            ("text_encoder", "model"),
        )
    }
    words = {
        f"tokenizer/{file}": (bundle / "tokenizer" / file).read_bytes()
        for file in ("vocab.json", "merges.txt")
    }
    return _publication(hub, name, name, "diffusers", files, words, bundle)


def _publication(
    hub: SmallHub,
    name: str,
    becomes: str,
    layout: str,
    files: dict[str, bytes],
    words: dict[str, bytes],
    config: Path,
) -> Publication:
    """`words` are files of a repository of their own, in which they have their last names."""
    repository = f"authors/{name}"
    hub.publish(repository, COMMIT, {**files, "README.md": b"not read", "model.ckpt": b"not read"})
    described = [_file(path, repository, COMMIT, path, content) for path, content in files.items()]
    if words:
        hub.publish(CLIP, CLIP_COMMIT, {Path(path).name: content for path, content in words.items()})
    described += [_file(path, CLIP, CLIP_COMMIT, Path(path).name, content) for path, content in words.items()]
    source = WeightSource(
        name=name,
        title="Small weights",
        repository=repository,
        commit=COMMIT,
        unaffiliated="",
        gated=False,
        becomes=becomes,
        layout=layout,
        licence=LICENCE,
        files=tuple(described),
        citations=WORKS,
    )
    return Publication(hub, source, {**files, **words}, config)


def _file(path: str, repository: str, commit: str, name: str, content: bytes) -> SourceFile:
    return SourceFile(path, repository, commit, name, len(content), hashlib.sha256(content).hexdigest())
