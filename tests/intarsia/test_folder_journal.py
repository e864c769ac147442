"""The memory of a folder, through kills at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intarsia import errors
from intarsia.folder.journal import Ledger

LINE = {"item": "a", "state": "succeeded", "mark": "1", "files": ["a.png"]}


def test_the_last_line_about_an_item_counts_in_this_run_and_the_next(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.last("a") is None
        ledger.add({**LINE, "state": "failed"})
        ledger.add({**LINE, "item": "b"})
        ledger.add(LINE)
        assert ledger.last("a") == LINE
    with Ledger(tmp_path) as again:
        assert again.last("a") == LINE and again.last("b") == {**LINE, "item": "b"}
        assert again.id == ledger.id
        again.add({**LINE, "files": []})
        assert again.last("a") == {**LINE, "files": []} and again.last("b") == {**LINE, "item": "b"}


def test_failures_are_counted_by_what_was_tried(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for mark, state in (("1", "failed"), ("1", "cancelled"), ("2", "failed"), ("1", "failed")):
            ledger.add({**LINE, "mark": mark, "state": state})
        assert (ledger.failures("1"), ledger.failures("2"), ledger.failures("3")) == (2, 1, 0)
    with Ledger(tmp_path) as again:
        assert (again.failures("1"), again.failures("2"), again.failures("3")) == (2, 1, 0)


def test_names_that_are_no_unicode_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    with Ledger(tmp_path) as ledger:
        ledger.add({**LINE, "item": name})
    with Ledger(tmp_path) as again:
        assert again.last(name) == {**LINE, "item": name}


def test_wherever_a_line_is_torn_the_ones_before_it_stand(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(LINE)
        kept = ledger.path.stat().st_size
        ledger.add({**LINE, "item": "b"})
    whole = ledger.path.read_bytes()
    head = whole.index(b"\n")
    for end in range(len(whole)):
        ledger.path.write_bytes(whole[:end])
        with Ledger(tmp_path) as torn:
            torn.add({**LINE, "item": "c"})
        with Ledger(tmp_path) as again:
            assert again.id == torn.id
            # A line that lacks nothing but its end is a whole one.
            assert (again.id == ledger.id) == (end >= head)
            assert again.last("a") == (LINE if end >= kept - 1 else None)
            assert again.last("b") == ({**LINE, "item": "b"} if end == len(whole) - 1 else None)
            assert again.last("c") == {**LINE, "item": "c"}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", json.dumps({"item": 1}) + "\n", "[1]\n"])
def test_a_file_of_somebody_else_is_not_written_to(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").write_text(text)
    with pytest.raises(errors.InvalidRequest, match="no ledger") as caught:
        Ledger(tmp_path)
    assert caught.value.field == "out"
    assert (tmp_path / "report.jsonl").read_text() == text
