"""Commands that edit pictures, as people and machines use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import intarsia
from intarsia.cli import main
from intarsia.v1 import editing_pb2, region_pb2
from tests.intarsia.cli.conftest import EDIT, Ran, lines
from tests.intarsia.double import Double


def test_an_edit_from_file_to_file(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    ran = cli("edit-region", photo, *EDIT, "--seed", 7, "-o", "out.png", "--save-mask", "mask.png")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "out.png: seed 7, 2 steps of ddim, 0.0 s",
        "  note: 16-bit values were rounded to 8 bits",
    ]
    assert (tmp_path / "out.png").read_bytes() == b"an edited picture"
    assert (tmp_path / "mask.png").read_bytes() == b"a mask"
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "out.png", "mask.png"}
    (watch,) = double.requests("WatchJob")
    assert watch.cancel_on_disconnect


def test_every_option_of_an_edit_is_sent(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    options = "--not-click 3,4 --relative --choose nearest:5,6 --fill-holes 9 --grow 4 --shrink 2 --invert"
    options += " --feather 0 --negative-instruction red --seed 7 --steps 30 --guidance 7.5"
    options += " --picture-guidance 1.5 --scheduler euler --reproducible --context 0.25 --working-size 512"
    options += " --quality 80 --preview-every 5 --time-limit 60 --request-id an-id -o out.jpg"
    options += " --priority -5 --label mural --label lot=7 --kind batch"
    assert cli("edit-region", photo, *EDIT, *options.split()).returncode == 0
    (sent,) = double.requests("EditRegion")
    clicks = [region_pb2.Click(x=120, y=80), region_pb2.Click(x=3, y=4, outside=True)]
    expected = editing_pb2.EditRegionRequest(
        region=region_pb2.Region(
            clicks=region_pb2.Clicks(clicks=clicks),
            choice=region_pb2.Choice(nearest=region_pb2.Corner(x=5, y=6)),
            shaping=region_pb2.Shaping(fill_holes=9, grow=4, shrink=2, invert=True, feather=0),
            units=region_pb2.UNITS_RELATIVE,
        ),
        instruction="make it blue",
        negative_instruction="red",
        job=editing_pb2.PictureJob(
            picture=sent.job.picture,
            sampling=editing_pb2.Sampling(
                seed=7,
                steps=30,
                guidance={"text": 7.5, "picture": 1.5},
                scheduler="SCHEDULER_EULER",
                reproducible=True,
            ),
            cut=editing_pb2.Cut(context=0.25, working_size=512),
            output=editing_pb2.Output(format=editing_pb2.FORMAT_JPEG, quality=80),
            preview_every=5,
            request_id="an-id",
            priority=-5,
            labels=["mural", "lot=7"],
            kind="KIND_BATCH",
        ),
    )
    expected.job.time_limit.FromSeconds(60)
    expected.job.watched_within.FromSeconds(30)
    assert sent == expected


def test_machines_get_one_object_per_line(cli: Callable[..., Ran], photo: Path) -> None:
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png", "--json", "--progress")
    assert ran.returncode == 0 and ran.stderr == ""
    *progress, result = lines(ran)
    assert [line["progress"]["state"] for line in progress] == ["queued", "running", "succeeded"]
    assert progress[1]["progress"]["step"] == 1 and progress[1]["progress"]["steps"] == 2
    assert result["result"]["output"] == "out.png"
    assert result["result"]["manifest"]["seed"] == "7"
    assert len(lines(cli("edit-region", photo, *EDIT, "-o", "out.png", "--json"))) == 1


def test_people_get_a_bar_if_they_ask_for_it(cli: Callable[..., Ran], photo: Path) -> None:
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png", "--progress")
    assert "2/2" in ran.stderr and "succeeded" in ran.stderr


def test_a_picture_goes_through_a_pipe(cli: Callable[..., Ran], photo: Path, tmp_path: Path) -> None:
    ran = cli("edit-region", photo, *EDIT, "-o", "-", "--save-mask", "mask.png")
    assert (tmp_path / "mask.png").read_bytes() == b"a mask"
    assert (ran.returncode, ran.stdout) == (0, "an edited picture")


def test_a_detached_job_is_followed_later(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    name = cli("edit-region", photo, *EDIT, "--detach").stdout.strip()
    assert name in double.jobs and not double.requests("WatchJob")
    ran = cli("jobs", "watch", name, "-o", "later.png")
    assert ran.returncode == 0
    assert (tmp_path / "later.png").read_bytes() == b"an edited picture"
    assert cli("jobs", "watch", name, "-o", "-").stdout == "an edited picture"
    assert not double.requests("WatchJob")[0].cancel_on_disconnect


def test_previews_are_written_as_they_come(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    advance = double.advance
    preview = double.keep(b"a preview")
    double.advance = lambda name, **progress: advance(name, preview=preview, **progress)  # type: ignore[method-assign]
    assert cli("edit-region", photo, *EDIT, "-o", "out.png", "--preview", "now.jpg").returncode == 0
    assert double.requests("EditRegion")[0].job.preview_every == 5
    assert (tmp_path / "now.jpg").read_bytes() == b"a preview"


@pytest.mark.parametrize("machine", [False, True])
def test_a_preview_that_cannot_be_had_does_not_end_the_edit(
    machine: bool, cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    advance, lost = double.advance, f"artifacts/{'0' * 64}"
    double.advance = lambda name, **progress: advance(name, preview=lost, **progress)  # type: ignore[method-assign]
    options = ["--json"] if machine else ["--progress"]
    ran = cli("edit-region", photo, *EDIT, "-o", "out.png", "--preview", "now.jpg", *options)
    assert ran.returncode == 0 and (tmp_path / "out.png").read_bytes() == b"an edited picture"
    said = lines(ran)[0]["warning"]["message"] if machine else ran.stderr
    assert "a preview was not written" in said and lost in said


def test_a_picture_comes_through_a_pipe(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    with photo.open("rb") as content:
        ran = cli("edit-region", "-", *EDIT, "-o", "out.png", stdin=content)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        double.requests("EditRegion")[0].job.picture
        == f"artifacts/{hashlib.sha256(photo.read_bytes()).hexdigest()}"
    )


def test_folders_of_written_files_are_made(cli: Callable[..., Ran], photo: Path, tmp_path: Path) -> None:
    ran = cli("edit-region", photo, *EDIT, "-o", "new/folder/out.png", "--no-clobber")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "new/folder/out.png").read_bytes() == b"an edited picture"
    ran = cli("edit-region", photo, *EDIT, "-o", "new/folder/out.png", "--no-clobber")
    assert ran.returncode == 2 and "'new/folder/out.png' exists" in ran.stderr


def test_with_force_the_input_is_overwritten(cli: Callable[..., Ran], photo: Path) -> None:
    assert cli("edit-region", photo, *EDIT, "-o", "photo.png", "--force").returncode == 0
    assert photo.read_bytes() == b"an edited picture"


@pytest.mark.parametrize(
    "command", ["edit-region PHOTO -i x --click 1,2", "jobs watch 1", "artifacts get NAME"]
)
def test_bytes_of_a_picture_are_never_mixed_into_json(
    command: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.replace("PHOTO", str(photo)).replace("NAME", "0" * 64).split()
    assert main([*words, "-o", "-", "--json"]) == 2
    assert "standard output is taken" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_removal_takes_a_region_and_no_words(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    ran = cli("remove-region", photo, "--click", "1,2", "--strict", "-o", "out.png")
    assert ran.returncode == 0, ran.stderr
    (sent,) = double.requests("RemoveRegion")
    assert sent.region == intarsia.click(1, 2).proto and sent.job.strict
