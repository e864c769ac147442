"""The command line, as people and machines use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import errors
from intarsia.cli import code_of, main, regions
from intarsia.cli.usage import Usage
from intarsia.v1 import editing_pb2, region_pb2
from intarsia.v1.jobs_pb2 import Failure, Job
from tests.intarsia.double import Double, Fault

Ran = subprocess.CompletedProcess[str]
EDIT = ("--click", "120,80", "--instruction", "make it blue")


@pytest.fixture
def cli(server: str, tmp_path: Path) -> Callable[..., Ran]:
    """Runs one command in a process of its own, in a folder of its own."""

    def run(*arguments: object, **settings: Any) -> Ran:
        command = [sys.executable, "-m", "intarsia.cli", *map(str, arguments)]
        environment = {**os.environ, "INTARSIA_SERVER": server}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, **settings
        )

    return run


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_an_edit_from_file_to_file(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    ran = cli("edit-region", photo, *EDIT, "--seed", 7, "-o", "out.png", "--save-mask", "mask.png")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "out.png: seed 7, 2 steps of ddim, 0.0 s",
        "  16-bit values were rounded to 8 bits",
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
        ),
    )
    expected.job.time_limit.FromSeconds(60)
    assert sent == expected


@pytest.mark.parametrize(
    ("options", "selector"),
    [
        (["--box", "1,2,3,4"], {"box": {"left": 1, "top": 2, "right": 3, "bottom": 4}}),
        (["--rectangle", "1,2,3,4"], {"box": {"left": 1, "top": 2, "right": 3, "bottom": 4, "exact": True}}),
        (
            ["--polygon", "1,1 9,1 1,9"],
            {"polygon": {"corners": [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 1, "y": 9}]}},
        ),
        (
            ["--words", "yellow dress", "--threshold", "0.25"],
            {"words": {"phrase": "yellow dress", "threshold": 0.25}},
        ),
        (
            ["--words", "dress", "--not-words", "belt", "--not-at", "1,2", "--not-words", "hat"],
            {"words": {"phrase": "dress", "not_phrases": ["belt", "hat"], "not_at": [{"x": 1, "y": 2}]}},
        ),
        (
            ["--box", "1,2,3,4", "--correct", "5,6", "--correct-not", "7,8", "--correct", "9,9"],
            {
                "box": {"left": 1, "top": 2, "right": 3, "bottom": 4},
                "corrections": [{"x": 5, "y": 6}, {"x": 9, "y": 9}, {"x": 7, "y": 8, "outside": True}],
            },
        ),
    ],
)
def test_the_ways_to_say_where(
    options: list[str],
    selector: dict,
    server: str,
    double: Double,
    photo: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["segment-region", str(photo), *options, "--server", server]) == 0
    assert double.requests("SegmentRegion")[0].region == region_pb2.Region(**selector)


def test_a_mask_is_sent_with_its_settings(server: str, double: Double, photo: Path) -> None:
    options = ["--mask", str(photo), "--inside", "opaque", "--mask-threshold", "0.5", "--fit-mask"]
    assert main(["segment-region", str(photo), *options, "--server", server]) == 0
    mask = double.requests("SegmentRegion")[0].region.mask
    assert double.stored[mask.artifact] == photo.read_bytes()
    assert mask.polarity == region_pb2.POLARITY_OPAQUE_INSIDE
    assert (mask.threshold, mask.fit) == (0.5, True)


def test_regions_are_put_together_in_the_order_they_are_said(
    server: str, double: Double, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "mask.png"
    other.write_bytes(b"a mask")
    options = "--words dress --grow 2 --minus --box 1,2,30,40 --plus --click 3,4 --click 5,6 --feather 3"
    options += (
        f" --choose 1 --within --mask {other} --inside white --invert --minus --mask {photo} --inside black"
    )
    assert main(["segment-region", str(photo), *options.split(), "--server", server]) == 0
    sent = double.requests("SegmentRegion")[0].region
    masks = [double.keep(content) for content in (b"a mask", photo.read_bytes())]
    dress, *others = (
        intarsia.words("dress").grown(2),
        intarsia.box(1, 2, 30, 40),
        intarsia.clicks((3, 4), (5, 6)).choosing(1),
        intarsia.mask(masks[0], inside="white").inverted(),
        intarsia.mask(masks[1], inside="black"),
    )
    whole = ((((dress - others[0]) | others[1]) & others[2]) - others[3]).feathered(3)
    assert sent == whole.proto


def test_relative_applies_to_all_coordinates(server: str, double: Double, photo: Path) -> None:
    options = "--click .1,.2 --minus --relative --click .3,.4"
    assert main(["segment-region", str(photo), *options.split(), "--server", server]) == 0
    terms = double.requests("SegmentRegion")[0].region.combination.terms
    assert [term.region.units for term in terms] == [region_pb2.UNITS_RELATIVE] * 2


def test_the_options_of_several_edits_are_kept_apart() -> None:
    said = (("relative", True), ("click", (0.1, 0.2)), ("then", True), ("words", "hat"), ("plus", True))
    said += (("click", (0.3, 0.4)),)
    first, second = regions.parts(said)
    assert regions.region(first).proto == intarsia.click(0.1, 0.2).relative().proto
    both = intarsia.words("hat") | intarsia.click(0.3, 0.4)
    assert regions.region(second).proto == both.relative().proto


def test_the_mask_of_each_picture_of_a_folder_is_a_region_like_others() -> None:
    said = (("inside", "white"), ("grow", 2.0), ("minus", True), ("box", (1.0, 2.0, 3.0, 4.0)))
    own = intarsia.mask(None, inside="white").grown(2)
    assert regions.region(said, masked=True).proto == (own - intarsia.box(1, 2, 3, 4)).proto
    with pytest.raises(Usage, match="--inside needs --mask"):
        regions.region(said)


def test_segmenting_writes_the_mask_and_says_what_was_found(
    cli: Callable[..., Ran], photo: Path, tmp_path: Path
) -> None:
    ran = cli("segment-region", photo, "--click", "120,80", "-o", "mask.png")
    assert ran.stdout.splitlines() == [
        "candidate 0: score 0.88, box 1,2,30,40, 900 pixels",
        "mask.png: score 0.88, box 1,2,30,40, 900 pixels",
        "  CMYK was converted to RGB",
    ]
    assert (tmp_path / "mask.png").read_bytes() == b"a mask"
    (line,) = lines(cli("segment-region", photo, "--click", "120,80", "--json"))
    assert line["segmentation"]["region"]["score"] == 0.875
    assert line["segmentation"]["width"] == 64


def test_every_candidate_is_written_to_a_folder(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    double.candidates = 3
    ran = cli("segment-region", photo, "--words", "dress", "--save-all", "found")
    assert ran.stdout.splitlines()[:3] == [
        f"found/candidate_{n}.png: score {score}, box 1,2,30,40, 900 pixels"
        for n, score in enumerate(("0.88", "0.44", "0.29"))
    ]
    contents = [(tmp_path / "found" / f"candidate_{n}.png").read_bytes() for n in range(3)]
    assert contents == [b"a mask", b"a mask 1", b"a mask 2"]
    (line,) = lines(cli("segment-region", photo, "--words", "dress", "--save-all", "found", "--json"))
    assert line["segmentation"]["candidate_outputs"] == [f"found/candidate_{n}.png" for n in range(3)]


def test_no_candidate_is_written_over_the_picture(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = photo.rename(photo.with_name("candidate_7.png"))
    folder = str(picture.parent)
    assert main(["segment-region", str(picture), "--click", "1,2", "--save-all", folder]) == 2
    assert "--force" in capsys.readouterr().err
    assert picture.read_bytes()


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("region.box.right", "--box or --rectangle"),
        ("region.words.not_phrases[2]", "--not-words"),
        ("region.combination.terms[1].region.box.right", "--box or --rectangle (region 2)"),
        ("region.combination.terms[1].operation", "--plus, --minus or --within"),
        ("region.corrections[0].x", "--correct or --correct-not"),
        ("further_edits[0].region.mask.threshold", "--mask-threshold (edit 2)"),
        ("further_edits[1].region.combination.terms[0].region.mask.fit", "--fit-mask (edit 3, region 1)"),
    ],
)
def test_a_refused_part_of_a_region_is_named_by_its_option(
    field: str, named: str, cli: Callable[..., Ran], double: Double, photo: Path
) -> None:
    double.faults["SegmentRegion"] += [Fault(errors.InvalidRequest("is wrong", field=field))]
    ran = cli("segment-region", photo, "--click", "1,2")
    assert (ran.returncode, ran.stderr) == (2, f"intarsia: {named}: is wrong\n")


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


def test_jobs_are_listed_shown_and_cancelled(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    double.by_hand = True
    names = [cli("edit-region", photo, *EDIT, "--detach").stdout.strip() for _ in range(2)]
    assert [line.split()[:3] for line in cli("jobs", "list").stdout.splitlines()] == [
        [names[1], "EditRegion", "queued"],
        [names[0], "EditRegion", "queued"],
    ]
    assert len(cli("jobs", "list", "--limit", 1).stdout.splitlines()) == 1
    assert "queued" in cli("jobs", "show", names[0]).stdout
    assert "cancelled" in cli("jobs", "cancel", names[0].removeprefix("jobs/")).stdout
    (listed,) = lines(cli("jobs", "list", "--state", "cancelled", "--json"))
    assert (listed["job"]["name"], listed["job"]["state"]) == (names[0], "cancelled")
    assert cli("jobs", "watch", names[0]).returncode == 130


def test_artifacts_are_put_shown_and_got(cli: Callable[..., Ran], photo: Path, tmp_path: Path) -> None:
    name = cli("artifacts", "put", photo).stdout.strip()
    assert cli("artifacts", "put", "-", input=photo.read_text()).stdout.strip() == name
    assert cli("artifacts", "show", name).stdout.split() == [name, "image/png", "22", "bytes"]
    assert cli("artifacts", "get", name, "-o", "back.png").stdout.strip() == "back.png"
    assert (tmp_path / "back.png").read_bytes() == photo.read_bytes()
    assert cli("artifacts", "get", name, "-o", "-").stdout == photo.read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_command_is_the_end_of_its_job(
    how: signal.Signals, server: str, double: Double, photo: Path, tmp_path: Path
) -> None:
    double.by_hand = True
    command = [sys.executable, "-m", "intarsia.cli", "edit-region", str(photo), *EDIT, "-o", "out.png"]
    process = subprocess.Popen(
        [*command, "--server", server, "--json"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        double.until(lambda: double.watchers == 1)
        process.send_signal(how)
        said, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    (history,) = double.jobs.values()
    double.until(lambda: history[-1].state == Job.STATE_CANCELLED)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert json.loads(said)["error"]["reason"] == "CANCELLED"
    assert not (tmp_path / "out.png").exists()


def test_a_job_whose_name_has_not_arrived_is_cancelled_too(
    server: str, double: Double, photo: Path, tmp_path: Path
) -> None:
    double.by_hand = True
    double.pause = threading.Event()
    command = [sys.executable, "-m", "intarsia.cli", "edit-region", str(photo), *EDIT, "-o", "out.png"]
    process = subprocess.Popen(
        [*command, "--server", server], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        double.until(lambda: len(double.jobs) == 1)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        double.pause.set()
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    (history,) = double.jobs.values()
    assert (process.returncode, said) == (130, "intarsia: cancelled\n")
    assert history[-1].state == Job.STATE_CANCELLED


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, 2),
        (errors.DigestMismatch, 2),
        (errors.NotFound, 3),
        (errors.EmptyRegion, 3),
        (errors.Busy, 4),
        (errors.ModelDown, 4),
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
        ("segment-region PHOTO --click 1,2 --save-all FOLDER/none/all", "create it first"),
        ("segment-region PHOTO --mask PHOTO --inside white -o PHOTO", "--force"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --choose worst", "nearest:X,Y"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --steps many", "--steps"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --steps -5", "--steps"),
        ("edit-region PHOTO -i x -o out.png --click 1,2 --scheduler best", "euler_ancestral"),
        ("edit-region nowhere.png -i x -o out.png --click 1,2", "nowhere.png"),
        ("edit-region PHOTO -i x --click 1,2", "-o out.png"),
        ("edit-region PHOTO -i x --click 1,2 -o PHOTO", "--force"),
        ("edit-region PHOTO -i x --click 1,2 -o FOLDER", "folder"),
        ("edit-region PHOTO -i x --click 1,2 -o FOLDER/none/out.png", "create it first"),
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
    assert main([*words, "--json"] if machine else words) == 2
    out, err = capsys.readouterr()
    if machine and arguments:
        assert says in " ".join(map(str, json.loads(out)["error"].values())) and err == ""
    else:
        assert says in (out if machine else err)
    assert photo.read_bytes() == before


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
