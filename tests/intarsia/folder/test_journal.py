"""The memory of a folder, through kills at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intarsia import errors
from intarsia.folder.journal import Journal

LINE = {"item": "a", "state": "succeeded", "digest": "1", "files": ["a.png"]}


def test_the_last_line_about_an_item_counts_in_this_run_and_the_next(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        assert journal.last("a") is None
        journal.add({**LINE, "state": "failed"})
        journal.add({**LINE, "item": "b"})
        journal.add(LINE)
        assert journal.last("a") == LINE
    with Journal(tmp_path) as again:
        assert again.last("a") == LINE and again.last("b") == {**LINE, "item": "b"}
        assert again.id == journal.id
        again.add({**LINE, "files": []})
        assert again.last("a") == {**LINE, "files": []} and again.last("b") == {**LINE, "item": "b"}


def test_failures_are_counted_by_what_was_tried(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for digest, state in (("1", "failed"), ("1", "cancelled"), ("2", "failed"), ("1", "failed")):
            journal.add({**LINE, "digest": digest, "state": state})
        assert (journal.failures("1"), journal.failures("2"), journal.failures("3")) == (2, 1, 0)
    with Journal(tmp_path) as again:
        assert (again.failures("1"), again.failures("2"), again.failures("3")) == (2, 1, 0)


def test_names_that_are_no_unicode_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    with Journal(tmp_path) as journal:
        journal.add({**LINE, "item": name})
    with Journal(tmp_path) as again:
        assert again.last(name) == {**LINE, "item": name}


def test_wherever_a_line_is_torn_the_ones_before_it_stand(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add(LINE)
        kept = journal.path.stat().st_size
        journal.add({**LINE, "item": "b"})
    whole = journal.path.read_bytes()
    head = whole.index(b"\n")
    for end in range(len(whole)):
        journal.path.write_bytes(whole[:end])
        with Journal(tmp_path) as torn:
            torn.add({**LINE, "item": "c"})
        with Journal(tmp_path) as again:
            assert again.id == torn.id
            # A line that lacks nothing but its end is a whole one.
            assert (again.id == journal.id) == (end >= head)
            assert again.last("a") == (LINE if end >= kept - 1 else None)
            assert again.last("b") == ({**LINE, "item": "b"} if end == len(whole) - 1 else None)
            assert again.last("c") == {**LINE, "item": "c"}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", json.dumps({"item": 1}) + "\n", "[1]\n"])
def test_a_file_of_another_program_is_not_written_to(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").write_text(text)
    with pytest.raises(errors.InvalidRequest, match="not a journal") as caught:
        Journal(tmp_path)
    assert caught.value.field == "out"
    assert (tmp_path / "report.jsonl").read_text() == text
