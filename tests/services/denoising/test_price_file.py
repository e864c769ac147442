"""The file in which prices are kept between starts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from services.denoising.costs import Kind
from services.denoising.price_file import PriceFile

HERE = {"device": "a card", "network": "12ab", "threads": 2}
KNOWN = {Kind(64): {1: 0.01, 24: 0.0213}, Kind(100, eager=True): {3: 0.5}}


def test_what_was_written_is_read(tmp_path: Path):
    PriceFile(tmp_path / "cache/prices", HERE).write(KNOWN)
    PriceFile(tmp_path / "cache/prices", HERE).write(KNOWN)
    assert PriceFile(tmp_path / "cache/prices", HERE).read() == KNOWN
    assert len(list((tmp_path / "cache/prices").iterdir())) == 1, "nothing is left behind"


def test_without_a_file_nothing_is_known_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    assert PriceFile(tmp_path, HERE).read() == {}
    assert not caplog.records


@pytest.mark.parametrize("other", [{"device": "another card"}, {"network": "34cd"}, {"threads": 4}])
def test_prices_of_another_device_or_network_are_not_used(tmp_path: Path, other: dict[str, str | int]):
    PriceFile(tmp_path, HERE).write(KNOWN)
    assert PriceFile(tmp_path, {**HERE, **other}).read() == {}


def test_a_file_that_was_copied_from_another_device_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    there, here = PriceFile(tmp_path, {**HERE, "device": "another card"}), PriceFile(tmp_path, HERE)
    there.write(KNOWN)
    there.path.rename(here.path)
    assert here.read() == {}
    assert "other circumstances" in caplog.text


def damaged(**changes: object) -> str:
    passes = [{"work": 64, "eager": False, "seconds": {"1": 0.1}, **changes}]
    return json.dumps({"circumstances": {**HERE, "format": 1}, "passes": passes})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        json.dumps({"circumstances": {**HERE, "format": 1}}),
        json.dumps({"circumstances": {**HERE, "format": 1}, "passes": [7]}),
        damaged(seconds={"1": -0.1}),
        damaged(seconds={"1": float("nan")}),
        damaged(seconds={"0": 0.1}),
        damaged(seconds={"many": 0.1}),
        damaged(seconds={"1": "soon"}),
        damaged(seconds={}),
        damaged(seconds=[0.1]),
        damaged(work=0),
        damaged(work="64"),
        damaged(eager=None),
    ],
)
def test_a_damaged_file_is_ignored_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
):
    file = PriceFile(tmp_path, HERE)
    file.path.write_text(content, encoding="utf-8")
    assert file.read() == {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and str(file.path) in record.getMessage()
    file.write(KNOWN)
    assert file.read() == KNOWN


def test_bytes_that_are_no_text_are_ignored(tmp_path: Path):
    file = PriceFile(tmp_path, HERE)
    file.path.write_bytes(b"\xff\xfe\x00")
    assert file.read() == {}


def test_a_folder_that_cannot_be_written_is_said_and_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "cache").write_text("a file")
    PriceFile(tmp_path / "cache", HERE).write(KNOWN)
    assert "cannot be kept in" in caplog.text


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = PriceFile(tmp_path, HERE)
    file.write(KNOWN)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("services.denoising.price_file.os.replace", full)
    file.write({Kind(64): {1: 9.0}})
    monkeypatch.undo()
    assert file.read() == KNOWN
    assert len(list(tmp_path.iterdir())) == 1
