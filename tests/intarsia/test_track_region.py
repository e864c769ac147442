"""Following a region through a clip: what is said is what is sent, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import errors
from intarsia.cli.output import Console
from intarsia.cli.progress import Progress
from intarsia.results import JobProgress, JobState, JobStatus
from intarsia.v1 import region_pb2, segmentation_pb2
from tests.intarsia.double import Double, Fault

HEART = intarsia.click(60, 150).grown(2)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"some clip")
    return path


def test_all_that_is_given_is_sent(client: intarsia.Client, double: Double, walk: Path) -> None:
    later = intarsia.mask(walk, inside="white")
    client.track_region(
        walk,
        {40: later, 3: HEART},
        frames=90,
        overlay=True,
        time_limit=60,
        request_id="an-id",
        priority=3,
        labels="mural",  # one label, not five
        kind="interactive",
    )
    (sent,) = double.requests("TrackRegion")
    name = double.keep(b"some clip")
    expected = segmentation_pb2.TrackRegionRequest(
        clip=name,
        sightings=[
            segmentation_pb2.Sighting(frame=3, region=HEART.proto),
            segmentation_pb2.Sighting(
                frame=40,
                region=region_pb2.Region(
                    mask=region_pb2.Mask(artifact=name, polarity=region_pb2.POLARITY_WHITE_INSIDE)
                ),
            ),
        ],
        frames=90,
        overlay=True,
        request_id="an-id",
        priority=3,
        labels=["mural"],
        kind="KIND_INTERACTIVE",
    )
    expected.time_limit.FromSeconds(60)
    expected.watched_within.FromSeconds(30)
    assert sent == expected


def test_a_region_by_itself_is_a_sighting_in_the_first_frame(
    client: intarsia.Client, double: Double, walk: Path
) -> None:
    result = client.track_region(walk, HEART).result()
    (sent,) = double.requests("TrackRegion")
    assert [(one.frame, one.region) for one in sent.sightings] == [(0, HEART.proto)]
    assert sent.request_id and not sent.HasField("time_limit")
    assert client.read(result.masks) == b"masks of a clip"


def test_what_is_no_region_is_refused_at_once(client: intarsia.Client, walk: Path) -> None:
    for seen in ([HEART], None):
        with pytest.raises(errors.InvalidRequest, match="seen cannot be"):
            client.track_region(walk, seen)  # type: ignore[arg-type]


def test_what_cannot_be_sent_is_refused_by_its_field(client: intarsia.Client, walk: Path) -> None:
    for seen, settings, field in (({-1: HEART}, {}, "sightings.frame"), (HEART, {"frames": -1}, "frames")):
        with pytest.raises(errors.InvalidRequest) as caught:
            client.track_region(walk, seen, **settings)
        assert caught.value.field == field


def test_the_command_sends_its_options_and_writes_its_files(
    told: Any, double: Double, walk: Path, tmp_path: Path
) -> None:
    code, out, _ = told(
        *("track-region", walk, "--click", "60,150", "--grow", 2, "--at", 40, "--box", "1,2,30,40"),
        *("--plus", "--click", "5,5", "--relative", "--frames", 90, "-o", "masks.mkv"),
        *("--save-track", "track.jsonl", "--save-overlay", "seen.mp4"),
    )
    assert code == 0
    assert out.splitlines() == [
        out.splitlines()[0],
        "track.jsonl",
        "seen.mp4",
        "  note: 10-bit values were rounded to 8 bits",
    ]
    assert out.startswith("masks.mkv: seen in 8 of 10 frames")
    (sent,) = double.requests("TrackRegion")
    first, second = sent.sightings
    assert (first.frame, second.frame, sent.frames, sent.overlay) == (0, 40, 90, True)
    assert first.region == HEART.relative().proto
    both = intarsia.box(1, 2, 30, 40) | intarsia.click(5, 5)
    assert second.region == both.relative().proto
    assert (tmp_path / "masks.mkv").read_bytes() == b"masks of a clip"
    assert (tmp_path / "seen.mp4").read_bytes() == b"an overlay of a clip"
    assert (tmp_path / "track.jsonl").read_bytes() == b"{}"


def test_machines_get_the_result_as_an_object(told: Any, walk: Path) -> None:
    code, out, _ = told("track-region", walk, "--click", "1,1", "-o", "masks.mkv", "--json")
    result = json.loads(out.splitlines()[-1])["result"]
    assert code == 0
    assert (result["frames"], result["seen"], result["output"]) == (10, 8, "masks.mkv")
    assert result["overlay"] is None and result["save_overlay"] is None


def test_a_detached_job_is_fetched_later(told: Any, double: Double, walk: Path, tmp_path: Path) -> None:
    _, name, _ = told("track-region", walk, "--click", "1,1", "--detach")
    code, out, _ = told("jobs", "watch", name.strip(), "-o", "later.mkv")
    assert code == 0 and out.startswith("later.mkv: seen in 8 of 10 frames")
    assert (tmp_path / "later.mkv").read_bytes() == b"masks of a clip"
    code, _, err = told("jobs", "watch", name.strip(), "--save-overlay", "seen.mp4")
    assert code == 2 and "--overlay" in err  # none was asked for
    _, name, _ = told("track-region", walk, "--click", "1,1", "--detach", "--overlay")
    code, out, _ = told(
        *("jobs", "watch", name.strip(), "--save-overlay", "seen.mp4", "--save-track", "track.jsonl")
    )
    assert code == 0 and (tmp_path / "seen.mp4").read_bytes() == b"an overlay of a clip"
    assert (tmp_path / "track.jsonl").read_bytes() == b"{}"
    watched = len(double.requests("WatchJob"))
    code, _, err = told("jobs", "watch", name.strip(), "-o", "again.mkv", "--save-mask", "mask.png")
    assert code == 2 and "--save-mask" in err
    assert len(double.requests("WatchJob")) == watched  # not watched


def test_leaving_a_watch_prints_that_the_job_continues(
    told: Any, walk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    _, name, _ = told("track-region", walk, "--click", "1,1", "--detach")
    monkeypatch.setattr("intarsia.cli.jobs.follow", interrupted)
    code, _, err = told("jobs", "watch", name.strip())
    assert code == 130 and "keeps running" in err


def test_masks_go_through_a_pipe(told: Any, walk: Path) -> None:
    code, out, _ = told("track-region", walk, "--click", "1,1", "-o", "-", "--save-track", "track.jsonl")
    assert code == 0 and out == "masks of a clip"
    assert (walk.parent / "track.jsonl").read_bytes() == b"{}"


def test_a_picture_has_no_track(told: Any, photo: Path) -> None:
    _, name, _ = told("edit-region", photo, "--click", "1,1", "-i", "x", "--detach")
    code, _, err = told("jobs", "watch", name.strip(), "--save-track", "track.jsonl")
    assert code == 2 and "--save-track" in err


def test_a_bar_counts_frames_and_is_full_only_at_the_end() -> None:
    with Progress(Console(json=False), True) as shown:
        for at, total, done in (
            (JobProgress(stage="track", step=3, steps=10), 10, 3),
            (JobProgress(stage="segment"), 10, 3),  # a further sighting is looked for
            (JobProgress(stage="inlay"), 10, 10),
            (JobProgress(stage="track", step=4), None, 4),  # their number is unknown
        ):
            shown.show(JobStatus("jobs/1", "TrackRegion", JobState.RUNNING, at))
            assert shown._bar is not None
            assert (shown._bar.total, shown._bar.n) == (total, done)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--click 1,1", "-o/--output"),
        ("-o masks.mkv", "name a region"),
        ("--click 1,1 --at 4 --box 1,2,3,4 --at 4 --click 2,2 -o masks.mkv", "--at"),
        ("--click 1,1 --at 4 -o masks.mkv", "name a region"),
        ("--click 1,1 -o masks.mkv --save-track masks.mkv", "--save-track"),
        ("--click 1,1 -o masks.avi", ".mkv"),
        ("--click 1,1 -o masks.mkv --save-overlay seen.webm", ".mp4"),
        ("--click 1,1 -o masks.mkv --save-overlay walk.mp4", "--force"),
        ("--click 1,1 -o masks.mkv --frames 0", "--frames"),
        ("--click 1,1 --detach -o masks.mkv", "jobs watch"),
        ("--click 1,1 --at x -o masks.mkv", "--at"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(
    told: Any, double: Double, walk: Path, words: str, named: str
) -> None:
    code, _, err = told("track-region", walk, *words.split())
    assert code == 2 and named in err
    assert not double.asked


def test_a_refused_field_is_named_by_its_option(told: Any, double: Double, walk: Path) -> None:
    for field, option in (
        ("sightings[1].frame", "--at (sighting 2)"),
        ("sightings[0].region.box.right", "--box or --rectangle (sighting 1)"),
        ("frames", "--frames"),
        ("overlay", "--save-overlay"),
        ("clip", "CLIP"),
    ):
        double.faults["TrackRegion"].append(Fault(errors.InvalidRequest("not so", field=field)))
        code, _, err = told("track-region", walk, "--click", "1,1", "-o", "masks.mkv")
        assert code == 2 and f"{option}: " in err
