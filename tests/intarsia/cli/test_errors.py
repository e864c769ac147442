"""Errors on the command line: exit codes, and options named with the remedy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from intarsia import errors
from intarsia.cli import code_of, main
from intarsia.v1.jobs_pb2 import Failure, Job
from tests.intarsia.cli.conftest import EDIT, Ran, lines
from tests.intarsia.double import Double, Fault


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, 2),
        (errors.DigestMismatch, 2),
        (errors.DoubtfulRegion, 2),
        (errors.NotFound, 3),
        (errors.EmptyRegion, 3),
        (errors.Busy, 4),
        (errors.ModelDown, 4),
        (errors.Unreachable, 4),
        (errors.Unauthenticated, 5),
        (errors.PermissionDenied, 5),
        (errors.QuotaExceeded, 5),
        (errors.Cancelled, 130),
        (errors.TimeLimit, 1),
        (errors.NotReady, 1),
        (errors.DataLoss, 1),
        (errors.InternalError, 1),
    ],
)
def test_exit_codes(kind: type[errors.IntarsiaError], code: int) -> None:
    assert code_of(kind("why")) == code


def test_a_failed_job_says_why_and_writes_nothing(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    failure = Failure(reason="EMPTY_REGION", message="nothing is selected at (120, 80); click elsewhere")
    double.succeed = lambda name: double.finish(name, Job.STATE_FAILED, failure)  # type: ignore[method-assign]
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png")
    assert ran.returncode == 3
    assert ran.stderr == "intarsia: nothing is selected at (120, 80); click elsewhere\n"
    assert not (tmp_path / "out.png").exists()
    (line,) = lines(cli("edit-region", photo, *EDIT, "-o", "out.png", "--json"))
    assert line["error"]["reason"] == "EMPTY_REGION"


def test_a_wrong_job_is_named_by_its_argument(cli: Callable[..., Ran], double: Double) -> None:
    double.faults["GetJob"].append(
        Fault(errors.InvalidRequest("must be `jobs/` and 32 digits", field="name"))
    )
    ran = cli("jobs", "show", "7")
    assert (ran.returncode, ran.stderr) == (2, "intarsia: JOB: must be `jobs/` and 32 digits\n")


def test_a_refused_field_is_named_by_its_option(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    refusal = errors.InvalidRequest("must be at most 1000", field="sampling.steps")
    double.faults["EditRegion"] += [Fault(refusal), Fault(refusal)]
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png")
    assert (ran.returncode, ran.stderr) == (2, "intarsia: --steps: must be at most 1000\n")
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png", "--json")
    assert lines(ran) == [
        {
            "error": {
                "reason": "INVALID_FIELD",
                "message": "must be at most 1000",
                "field": "sampling.steps",
                "option": "--steps",
                "facts": {},
            }
        }
    ]


def test_a_server_that_cannot_be_reached(cli: Callable[..., Ran]) -> None:
    ran = cli("jobs", "list", "--server", "localhost:1", "--timeout", "0.5")
    assert ran.returncode == 4
    assert "localhost:1" in ran.stderr and "intarsia up" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("edit-region PHOTO --click 1,2 -o out.png", "--instruction"),
        ("edit-region PHOTO -i x -o out.png", "--click 120,80"),
        ("edit-region PHOTO -i x -o out.png --click 1", "--click"),
        ("edit-region PHOTO -i x -o out.png --click 1,two", "120,80"),
        ("edit-region PHOTO -i x -o out.png --box 1,2,3", "--box"),
        ("edit-region PHOTO -i x -o out.png --box 1,2,3,4 --click 1,2", "--click and --box exclude"),
        ("edit-region PHOTO -i x -o out.png --not-click 1,2 --box 1,2,3,4", "--not-click needs --click"),
        ("edit-region PHOTO -i x -o out.png --mask PHOTO", "--inside"),
        ("segment-region PHOTO --mask PHOTO --inside white --inside black", "--inside: option given twice"),
        ("segment-region PHOTO --box 1,2,3,4 --box 1,2,3,4", "put --plus between two regions"),
        ("segment-region PHOTO --click 1,2 --feather 3 --plus --click 1,2 --feather 4", "--feather"),
        ("segment-region PHOTO --click 1,2 --not-words belt", "--not-words needs --words"),
        ("segment-region PHOTO --click 1,2 --not-at 1,2", "--not-at needs --words"),
        ("segment-region PHOTO --words dress --mask-threshold 0.5", "--mask-threshold needs --mask"),
        ("segment-region PHOTO --words dress --fit-mask", "--fit-mask needs --mask"),
        ("segment-region PHOTO --words dress --correct 1", "--correct"),
        ("segment-region PHOTO --click 1,2 --minus", "name a region after --minus"),
        ("segment-region PHOTO --click 1,2 --minus --grow 2 --plus --click 1,2", "e.g. --minus --click"),
        ("segment-region PHOTO --minus --click 1,2", "--minus: needs a region before it"),
        ("segment-region PHOTO --click 1,2 --save-all PHOTO", "name a folder"),
        ("segment-region PHOTO --click 1,2 --save-all PHOTO/all", "cannot be made"),
        ("segment-region PHOTO --mask PHOTO --inside white -o PHOTO", "--force"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --choose worst", "nearest:X,Y"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --steps many", "--steps"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --steps -5", "--steps"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --scheduler best", "euler_ancestral"),
        ("edit-region nowhere.png -i x -o out.png --click 1,2", "nowhere.png"),
        ("edit-region PHOTO -i x --click 1,2", "-o out.png"),
        ("edit-region PHOTO -i x --click 1,2 -o PHOTO", "--force"),
        ("edit-region PHOTO -i x --click 1,2 -o FOLDER", "folder"),
        ("edit-region FOLDER/other.png -i x --click 1,2 -o PHOTO --no-clobber", "leave out --no-clobber"),
        ("segment-region FOLDER/other.png --click 1,2 -o PHOTO --no-clobber", "leave out --no-clobber"),
        ("jobs watch jobs/1 -o PHOTO --no-clobber", "leave out --no-clobber"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --force --no-clobber", "not allowed with"),
        ("edit-region PHOTO -i x --click 1,2 -o PHOTO/out.png", "cannot be made"),
        ("edit-region PHOTO -i x --click 1,2 -o out.gif", "--format"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --format jpeg", "contradicts"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --save-mask out.png", "named twice"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --detach", "jobs watch"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --save-mask -", "name a file"),
        ("jobs watch jobs/1 --save-mask -", "name a file"),
        ("edit-region PHOTO -i x --click 1,2 -o out.png --step 5", "--step"),
        ("segment-region PHOTO --click 1,2 -o PHOTO", "--force"),
        ("jobs list --limit -1", "--limit"),
        ("jobs list --timeout 0", "--timeout"),
        ("jobs list --timeout inf", "--timeout"),
        ("jobs list --timeout soon", "--timeout"),
        ("jobs list --state done", "succeeded"),
        ("artifacts show artifacts/short", "64 digits"),
        ("artifacts put nowhere.png", "nowhere.png"),
        ("teapot", "edit-region"),
        ("", "COMMAND"),
    ],
)
@pytest.mark.parametrize("machine", [False, True])
def test_a_wrong_option_is_named_with_its_remedy(
    arguments: str, says: str, machine: bool, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        word.replace("PHOTO", str(photo)).replace("FOLDER", str(photo.parent)) for word in arguments.split()
    ]
    before = photo.read_bytes()
    (photo.parent / "other.png").write_bytes(before)
    assert main([*words, "--json"] if machine else words) == 2
    out, err = capsys.readouterr()
    if machine and arguments:
        assert says in " ".join(map(str, json.loads(out)["error"].values())) and err == ""
    else:
        assert says in (out if machine else err)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("command", ["up", "weights"])
def test_commands_of_the_serving_tree_say_where_to_get_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = [name for name in sys.modules if name.partition(".")[0] in ("deploy", "services")]
    for module in {"deploy", "services", *imported}:
        monkeypatch.setitem(sys.modules, module, None)
    assert main([command, "--help"]) == 2
    assert f"intarsia {command}" in capsys.readouterr().err


def test_commands_of_the_serving_tree_get_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    heard: list[list[str]] = []
    double = types.ModuleType("services.bundles.cli")
    double.main = lambda argv: heard.append(argv)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "services.bundles.cli", double)
    assert main(["weights", "verify", "--json", "a"]) == 0
    assert heard == [["verify", "--json", "a"]]
