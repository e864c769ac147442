"""Commands about jobs and artifacts, and the end of a command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from intarsia.cli.output import Console
from intarsia.cli.progress import Progress
from intarsia.files import ResultFile
from intarsia.results import JobProgress, JobState, JobStatus
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.cli.conftest import EDIT, Ran, lines
from tests.intarsia.double import Double


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


def test_a_job_is_told_in_words(cli: Callable[..., Ran], double: Double, photo: Path) -> None:
    name = cli("edit-region", photo, *EDIT, "--detach", "--label", "mural", "--priority", 3).stdout.strip()
    assert cli("jobs", "watch", name, "-o", "out.png").returncode == 0
    job = double.jobs[name][-1]
    made = job.result.picture.manifest
    first, *lines = cli("jobs", "show", name).stdout.splitlines()
    told = dict(line.strip().split(": ", 1) for line in lines)
    assert first.startswith(f"{name}  EditRegion  succeeded")
    assert told["labels"] == "mural" and "priority 3, attempt " in told["kind"]
    assert told["made with"].startswith(f"seed {made.seed}, {made.steps} steps of ddim")
    assert told["mask"] == job.result.picture.mask
    assert told["note"] == "16-bit values were rounded to 8 bits"
    assert "{" not in "".join(lines)


def test_jobs_are_paused_resumed_and_tried_again(
    cli: Callable[..., Ran], double: Double, photo: Path
) -> None:
    double.by_hand = True
    name = cli("edit-region", photo, *EDIT, "--detach", "--label", "mural").stdout.strip()
    assert "paused" in cli("jobs", "pause", name).stdout
    (listed,) = lines(cli("jobs", "list", "--state", "paused", "--label", "mural", "--json"))
    assert (listed["job"]["name"], listed["job"]["labels"]) == (name, ["mural"])
    assert not cli("jobs", "list", "--method", "FillRegion").stdout
    assert "queued" in cli("jobs", "resume", name).stdout
    assert "cancelled" in cli("jobs", "cancel", name).stdout
    assert "queued" in cli("jobs", "retry", name).stdout
    assert cli("jobs", "pause", "unknown").returncode == 3


def test_a_bar_says_that_its_job_is_paused() -> None:
    with Progress(Console(json=False), True) as shown:
        at = JobProgress[ResultFile](stage="denoise", step=3, steps=10)
        for state, said in ((JobState.RUNNING, "denoise"), (JobState.PAUSED, "paused")):
            shown.show(JobStatus("jobs/1", "EditRegion", state, at))
            assert shown._bar is not None and shown._bar.desc == said


@pytest.mark.parametrize(
    ("json", "asked", "times"), [(False, True, 1), (False, False, 1), (True, False, 1), (True, True, 0)]
)
def test_what_holds_a_job_up_is_said_once(
    json: bool, asked: bool, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(Console(json=json), asked) as shown:
        for note in ("", "its model has ended", "its model has ended", ""):
            at = JobProgress[ResultFile](stage="denoise", step=3, steps=10, note=note)
            shown.show(JobStatus("jobs/1", "EditRegion", JobState.RUNNING, at))
    said = capsys.readouterr()
    told = [line for line in (said.out + said.err).splitlines() if "its model has ended" in line]
    assert len([line for line in told if "progress" not in line]) == times
    if json and asked:
        assert len(told) == 2, "with every progress"


def test_what_was_finished_of_a_cancelled_job_can_be_fetched(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    double.by_hand = True
    name = cli("edit-region", photo, *EDIT, "--detach").stdout.strip()
    assert "cancelled" in cli("jobs", "cancel", "--keep-partial", name).stdout
    ran = cli("jobs", "watch", name, "-o", "partial.png")
    assert ran.returncode == 130 and "cancelled" in ran.stderr
    assert (tmp_path / "partial.png").read_bytes() == b"an edited picture"


def test_artifacts_are_put_shown_and_got(cli: Callable[..., Ran], photo: Path, tmp_path: Path) -> None:
    name = cli("artifacts", "put", photo).stdout.strip()
    assert cli("artifacts", "put", "-", input=photo.read_text()).stdout.strip() == name
    described = f"{name}  image/png  22 bytes  upload  until 2033-05-18T03:33:20.000+00:00"
    assert cli("artifacts", "show", name).stdout.strip() == described
    assert cli("artifacts", "get", name, "-o", "back.png").stdout.strip() == "back.png"
    assert (tmp_path / "back.png").read_bytes() == photo.read_bytes()
    assert cli("artifacts", "get", name, "-o", "-").stdout == photo.read_text()


def test_artifacts_are_listed_pinned_and_deleted(cli: Callable[..., Ran], double: Double) -> None:
    names = [double.keep(b"%d" % n) for n in range(3)][::-1]
    assert [line.split()[0] for line in cli("artifacts", "list").stdout.splitlines()] == names
    assert len(cli("artifacts", "list", "--limit", 2).stdout.splitlines()) == 2
    assert cli("artifacts", "pin", *names[:2]).stdout.count("pinned") == 2
    assert [
        line["artifact"]["name"] for line in lines(cli("artifacts", "list", "--pinned", "--json"))
    ] == names[:2]
    assert cli("artifacts", "delete", names[2].removeprefix("artifacts/")).stdout.strip() == names[2]
    ran = cli("artifacts", "delete", names[0])
    assert ran.returncode == 1 and "unpin it first" in ran.stderr
    assert "until" in cli("artifacts", "unpin", names[0]).stdout
    assert lines(cli("artifacts", "delete", names[0], "--json")) == [{"deleted": {"name": names[0]}}]
    assert set(double.stored) == {names[1]}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_command_is_the_end_of_its_job(
    how: signal.Signals, server: str, double: Double, photo: Path, tmp_path: Path
) -> None:
    double.by_hand = True
    command = [sys.executable, "-m", "intarsia", "edit-region", str(photo), *EDIT, "-o", "out.png"]
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
    command = [sys.executable, "-m", "intarsia", "edit-region", str(photo), *EDIT, "-o", "out.png"]
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
