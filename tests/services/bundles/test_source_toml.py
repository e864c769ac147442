"""The descriptions of published weights: complete, pinned, and equal to what is written from them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.bundles.errors import BundleError
from services.bundles.fetch.command import NAMES
from services.bundles.fetch.notice import write_notice
from services.bundles.source_toml import LICENCES, read, sources, to_toml

PUBLISHED = sources()
ROOT = Path(__file__).parents[3]


def test_the_names_in_the_help_are_those_that_are_described():
    assert set(NAMES) == set(PUBLISHED)


@pytest.mark.parametrize("source", PUBLISHED.values(), ids=lambda source: source.name)
def test_a_published_source_is_pinned_and_has_terms_and_works(source, tmp_path):
    assert not source.unknown, "to be fetched without trust"
    assert source.licence.texts and source.citations
    write_notice(tmp_path, source)
    notice = (tmp_path / "NOTICE.md").read_text()
    assert source.repository in notice and source.commit in notice
    assert all(work.text in notice and work.url in notice for work in source.citations)
    assert all((LICENCES / name).read_text().strip("\n") in notice for name in source.licence.texts)


@pytest.mark.parametrize("source", PUBLISHED.values(), ids=lambda source: source.name)
def test_a_description_is_read_as_it_was_written(source, tmp_path):
    file = tmp_path / f"{source.name}.toml"
    file.write_text(to_toml(source))
    assert read(file) == source


def test_sources_that_are_described_wrongly_are_named(tmp_path):
    source = PUBLISHED["sd2_inpaint"]
    text, file = to_toml(source), tmp_path / "sd2_inpaint.toml"
    for old, new, words in (
        (f'commit = "{source.commit}"', 'commit = "main"', "commit must be lower-case hexadecimal"),
        ("size = ", "size = -", 'size must be bytes, or "unknown"'),
        ('path = "unet/', 'path = "../unet/', "path must be a path below a folder"),
        ('becomes = "', 'becomes = "/', "becomes must be a path below"),
        ('layout = "diffusers"', 'layout = "x"', "layout must be one of"),
        ("gated = false", "gated = 1", "gated must be true or false"),
        ("title", "title title", "is no description of a source"),
        ('texts = ["', 'texts = ["../', "licence.texts must be"),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(BundleError, match=words):
            read(file)


def test_the_notice_of_the_project_names_the_works_too():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all(work.url in notice for source in PUBLISHED.values() for work in source.citations)


def test_pickles_are_only_where_they_become_tensors():
    pickles = {(source.layout, file.path) for source in PUBLISHED.values() for file in source.files}
    assert {layout for layout, path in pickles if not path.endswith((".safetensors", ".json", ".txt"))} == {
        "sam2",
        "sam3",
    }


@pytest.mark.parametrize(
    ("variables", "cache"),
    [({"HF_HUB_CACHE": "/a/hub"}, "/a/hub"), ({"HF_HOME": "/a/home"}, "/a/home/hub")],
)
def test_the_variables_of_the_hub_are_heard(variables, cache):
    program = "from services.bundles.fetch.hub import Hub; hub = Hub(); print(hub.cache, hub.endpoint)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, **variables, "HF_ENDPOINT": "https://mirror.example/"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == [cache, "https://mirror.example"]
