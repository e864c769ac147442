"""Whole folders from a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intarsia import errors
from intarsia.cli import main
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.double import Fault
from tests.intarsia.folder.conftest import Painter, counted, pictures, written

EDIT = ("edit-region", "--words", "yellow dress", "-i", "blue", "--seed", "7")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def double() -> Painter:
    return Painter()


@pytest.fixture
def cli(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Runs one command beside a folder of pictures; its exit code and what it said."""
    pictures(tmp_path / "imgs", "a.png", "sub/b.jpg", "sub/c.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTARSIA_SERVER", server)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        return (code, *capsys.readouterr())

    return run


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_folder_is_edited_with_one_region_for_all(cli: Cli, tmp_path: Path, double: Painter) -> None:
    code, out, err = cli(*EDIT, "--pictures", "imgs", "--out", "out")
    assert (code, err) == (0, "")
    assert set(written(tmp_path / "out")) == {"a.png", "sub/b.png", "sub/c.png"}
    assert {request.region.words.phrase for request in double.requests("EditRegion")} == {"yellow dress"}
    *items, path, counted, succeeded, skipped, failed, took = out.splitlines()
    assert sorted(line.partition(":")[0] for line in items) == ["a.png", "sub/b.png", "sub/c.png"]
    assert all("seed 7" in line for line in items) and path == "out/report.json"
    assert counted.split() == ["items", "3"] and succeeded.split() == ["succeeded", "3"]
    assert skipped.split() == ["skipped", "0"] and failed.split() == ["failed", "0"]
    assert took.split()[0] == "time" and "median" in took


def test_machines_get_an_object_for_every_item_and_one_for_the_batch(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "imgs/a.png").write_bytes(b"a shopping list")
    pictures(tmp_path / "imgs", "d.png", "d.webp")
    code, out, err = cli(*EDIT, "--pictures", "imgs", "--out", "out", "--json")
    assert (code, err) == (1, "")
    warning, *items, batch = objects(out)
    assert "d is the name of several files: d.png, d.webp" in warning["warning"]["message"]
    states = {line["item"]["item"]: line["item"]["state"] for line in items}
    assert states == {"a": "failed", "sub/b": "succeeded", "sub/c": "succeeded"}
    assert batch["batch"]["counts"] == counted(items=3, succeeded=2, failed=1)
    assert batch["batch"]["report"] == "out/report.json"
    code, out, _ = cli(*EDIT, "--pictures", "imgs", "--out", "out", "--json", "--progress")
    assert {tuple(line) for line in objects(out)} == {("warning",), ("item",), ("progress",), ("batch",)}
    moved = [line["progress"] for line in objects(out) if "progress" in line]
    assert {line["item"] for line in moved} == {"a"} and moved[-1]["state"] == "failed"


def test_failures_are_explained_to_people(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "imgs/a.png").write_bytes(b"a shopping list")
    code, out, err = cli(*EDIT, "--pictures", "imgs", "--out", "out")
    assert code == 1
    assert err == "intarsia: a: INVALID_FIELD: this is no picture but a shopping list; send another one\n"
    assert ["INVALID_FIELD", "1"] in [line.split() for line in out.splitlines()]


def test_masks_without_pictures_and_pictures_without_masks_are_listed(cli: Cli, tmp_path: Path) -> None:
    pictures(tmp_path / "masks", "a.png", "old/c.png", "e.png")
    words = ("edit-region", "-i", "blue", "--masks", "masks", "--inside", "white", "--out", "out")
    code, out, err = cli(*words, "--pictures", "imgs", "--pair", "stem")
    assert code == 0 and set(written(tmp_path / "out")) == {"a.png", "sub/c.png"}
    assert err.splitlines() == [
        "intarsia: left out: sub/b.jpg has no mask",
        "intarsia: left out: mask e.png has no picture",
    ]
    assert ["orphans", "2"] in [line.split() for line in out.splitlines()]


def test_all_requested_files_lie_beside_each_other(cli: Cli, tmp_path: Path) -> None:
    more = ("--candidates", "2", "--view", "overlay", "--collage", "--save-masks")
    assert cli(*EDIT, *more, "--pictures", "imgs", "--out", "out")[0] == 0
    kinds = ("", "_2", "_collage", "_mask", "_overlay")
    assert set(written(tmp_path / "out")) == {f"{n}{k}.png" for n in ("a", "sub/b", "sub/c") for k in kinds}


def test_people_get_a_bar_for_the_batch_and_one_for_each_item(cli: Cli) -> None:
    code, out, err = cli(*EDIT, "--pictures", "imgs", "--out", "out", "--progress", "--at-once", "2")
    assert code == 0
    assert "3/3" in err and "sub/b: denoise  50%" in err and "sub/b: succeeded 100%" in err
    assert "a.png: seed 7" in out


def test_a_second_run_says_that_all_is_done(cli: Cli, double: Painter) -> None:
    cli(*EDIT, "--pictures", "imgs", "--out", "out")
    code, out, _ = cli(*EDIT, "--pictures", "imgs", "--out", "out")
    assert code == 0 and len(double.requests("EditRegion")) == 3
    assert ["skipped", "3"] in [line.split() for line in out.splitlines()]


def test_a_file_whose_name_is_no_unicode_is_worked_on(cli: Cli, tmp_path: Path) -> None:
    strange = os.fsencode(tmp_path / "imgs") + b"/caf\xe9.png"
    Path(os.fsdecode(strange)).write_bytes(b"picture of coffee")
    code, out, _ = cli(*EDIT, "--pictures", "imgs", "--out", "out", "--json")
    assert code == 0 and os.fsencode(tmp_path / "out") + b"/caf\xe9.png" in [
        os.fsencode(path) for path in (tmp_path / "out").iterdir()
    ]
    assert os.fsdecode(b"caf\xe9") in [line["item"]["item"] for line in objects(out)[:-1]]
    assert cli(*EDIT, "--pictures", "imgs", "--out", "other")[0] == 0


def test_an_error_that_concerns_all_has_its_own_exit_code(cli: Cli, double: Painter) -> None:
    double.faults["EditRegion"] += [Fault(errors.InvalidRequest("too many", field="sampling.steps"))] * 4
    code, out, err = cli(*EDIT, "--pictures", "imgs", "--out", "out", "--at-once", "1")
    assert (code, err) == (2, "intarsia: --steps: too many\n")
    assert ["left", "3"] in [line.split() for line in out.splitlines()]


def test_ctrl_c_ends_the_batch_with_its_own_exit_code(
    cli: Cli, server: str, double: Painter, tmp_path: Path
) -> None:
    double.by_hand = True
    command = [sys.executable, "-m", "intarsia", *EDIT, "--pictures", "imgs", "--out", "out", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        double.until(lambda: double.watchers == 3, seconds=30)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    *items, batch, error = objects(said)
    assert [line["item"]["state"] for line in items] == ["cancelled"] * 3
    assert not batch["batch"]["complete"] and error["error"]["reason"] == "CANCELLED"
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_CANCELLED}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--pictures imgs", "--out results"),
        ("--pictures nowhere --out out", "nowhere"),
        ("--pictures imgs --out imgs", "would mix results"),
        ("--pictures imgs --out .", "would mix results"),
        ("imgs/a.png --pictures imgs --out out", "PICTURE is for one picture"),
        ("imgs/a.png --masks imgs -o out.png", "--masks needs --pictures"),
        ("imgs/a.png --out out", "--out needs --pictures"),
        ("imgs/a.png --at-once 2 -o out.png", "--at-once needs --pictures"),
        ("--pictures imgs --out out -o out.png", "--output is for one picture"),
        ("--pictures imgs --out out --detach", "--detach is for one picture"),
        ("--pictures imgs --out out --plan", "--plan is for one picture"),
        ("--pictures imgs --out out --save-mask m.png", "--save-mask is for one picture"),
        ("--pictures imgs --out out --preview p.jpg", "--preview is for one picture"),
        ("--pictures imgs --out out --pair stem", "--pair needs --masks"),
        ("--pictures imgs --out out --masks imgs/sub", "--inside"),
        ("--pictures imgs --out out --at-once 0", "--at-once"),
        ("-o out.png", "--pictures"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(arguments: str, says: str, cli: Cli) -> None:
    code, _, err = cli(*EDIT, *arguments.split())
    assert code == 2 and says in err


def test_masks_that_the_region_does_not_use_are_rejected(cli: Cli, tmp_path: Path) -> None:
    masks = ("--masks", str(pictures(tmp_path / "masks", "a.png")), "--plus", "--inside", "white")
    words = (*EDIT, "--pictures", "imgs", "--out", "out")
    assert cli(*words, *masks)[0] == 0
    code, _, err = cli(*words, "--minus", "--mask", "imgs/a.png", "--inside", "white", *masks[:2])
    assert code == 2 and "--mask" in err and "does not use the folder's masks" in err
