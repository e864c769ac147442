"""Regions followed through clips, as the rpc and its job answer."""

from __future__ import annotations

import asyncio
import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.clips import RATE, encode
from intarsia.errors import InvalidRequest, NotFound
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import results_pb2 as rs
from intarsia.v1 import segmentation_pb2 as sg
from orchestrator.media.clip.reader import Clip
from orchestrator.media.clips import Clips
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from store.disk import DiskStore
from tests.orchestrator.conftest import Client, Start, png
from tests.orchestrator.doubles.triton import Triton

RED, BLUE, GROUND = (220, 30, 30), (30, 30, 220), (90, 100, 90)
WIDTH, HEIGHT, SIDE, FRAMES = 96, 64, 16, 10


def edge(frame: int) -> int:
    """Where the square's left edge is."""
    return 8 + 6 * frame


def inside(frame: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[24 : 24 + SIDE, edge(frame) : edge(frame) + SIDE] = True
    return mask


def walk(*, frames: int = FRAMES, gone: tuple[int, ...] = (), blue_from: int = FRAMES) -> list[np.ndarray]:
    """A square on its way to the right."""
    pictures = []
    for frame in range(frames):
        picture = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
        if frame not in gone:
            picture[inside(frame)] = BLUE if frame >= blue_from else RED
        pictures.append(picture)
    return pictures


def clip(pictures: list[np.ndarray]) -> bytes:
    return encode(np.stack(pictures))


def frames_of(data: bytes, kind: str) -> list[np.ndarray]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format=kind) for frame in container.decode(video=0)]


def square(frame: int, **options: Any) -> rg.Region:
    box = rg.Box(left=edge(frame), top=24, right=edge(frame) + SIDE, bottom=24 + SIDE, exact=True)
    return rg.Region(box=box, **options)


def request(name: str, *frames: int, **options: Any) -> sg.TrackRegionRequest:
    sightings = [sg.Sighting(frame=frame, region=square(frame)) for frame in frames or (0,)]
    return sg.TrackRegionRequest(clip=name, sightings=sightings, **options)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def opened_files() -> list[str]:
    """By path, also of those that were removed."""
    paths = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # of the look round itself
            paths.append(os.readlink(link))
    return paths


class Tracked:
    """What a job made, fetched."""

    def __init__(self, result: rs.TrackResult, masks: list[np.ndarray], rows: list[Any]) -> None:
        self.result, self.masks, self.rows = result, masks, rows


async def tracked(client: Client, message: sg.TrackRegionRequest) -> Tracked:
    job = await client.ask(client.segmentation.TrackRegion(message))
    finished = await client.finished(job.name)
    assert finished.state == jb.Job.STATE_SUCCEEDED, finished.failure
    result = finished.result.track
    masks = [mask > 127 for mask in frames_of(await client.download(result.masks), "gray")]
    rows = [json.loads(line) for line in (await client.download(result.track)).splitlines()]
    assert len(masks) == len(rows) == result.frames
    return Tracked(result, masks, rows)


async def failed(client: Client, message: sg.TrackRegionRequest) -> jb.Failure:
    job = await client.ask(client.segmentation.TrackRegion(message))
    finished = await client.finished(job.name)
    assert finished.state == jb.Job.STATE_FAILED
    return finished.failure


async def test_a_thing_is_found_in_every_frame_of_a_clip(client: Client, triton: Triton) -> None:
    found = await tracked(client, request(await client.upload(clip(walk()))))
    assert (found.result.frames, found.result.seen) == (FRAMES, FRAMES)
    assert (found.result.width, found.result.height) == (WIDTH, HEIGHT)
    assert np.array_equal(found.masks[0], inside(0))  # as it was pointed at, to the pixel
    for frame, (mask, row) in enumerate(zip(found.masks, found.rows, strict=True)):
        assert overlap(mask, inside(frame)) > 0.8
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert row == {
            "frame": frame,
            "time": pytest.approx(frame / RATE, abs=1e-3),
            "presence": 1.0 if frame == 0 else pytest.approx(0.99),
            "area": mask.sum(),
            "box": box,
        }
    # Frames go out no larger than the network sees them, and nothing is remembered of a clip that is done.
    assert {shape for _, _, shape in triton.sam.frames} == {(HEIGHT, 64, 3)}
    assert not triton.sam.followed
    assert found.result.weights["sam"] == "5a" * 32
    assert {spent.stage for spent in found.result.stage_times} == {"segment", "track", "inlay"}


async def test_the_mask_is_empty_where_the_object_is_not_visible(client: Client) -> None:
    found = await tracked(client, request(await client.upload(clip(walk(gone=(4, 5))))))
    assert [frame for frame, mask in enumerate(found.masks) if not mask.any()] == [4, 5]
    assert found.result.seen == FRAMES - 2
    for row in found.rows[4:6]:
        assert (row["area"], row["box"]) == (0, None) and row["presence"] < 0.1


async def test_following_begins_at_the_first_sighting_and_ends_after_so_many_frames(client: Client) -> None:
    found = await tracked(client, request(await client.upload(clip(walk())), 3, frames=4))
    assert len(found.masks) == 7
    assert [bool(mask.any()) for mask in found.masks] == [False] * 3 + [True] * 4
    assert [row["presence"] for row in found.rows[:3]] == [None] * 3
    assert np.array_equal(found.masks[3], inside(3))


async def test_a_further_sighting_corrects_what_is_followed(client: Client) -> None:
    name = await client.upload(clip(walk(blue_from=5)))
    lost = await tracked(client, request(name, 0))
    assert not any(mask.any() for mask in lost.masks[5:])
    kept = await tracked(client, request(name, 0, 5))
    assert all(overlap(mask, inside(frame)) > 0.8 for frame, mask in enumerate(kept.masks))


async def test_shaping_is_done_in_every_frame_from_its_sighting_on(client: Client) -> None:
    name = await client.upload(clip(walk()))
    plain = await tracked(client, request(name, 0, 5))
    message = request(name, 0, 5)
    message.sightings[1].region.shaping.grow = 3
    grown = await tracked(client, message)
    for frame in range(FRAMES):
        assert (grown.masks[frame].sum() > plain.masks[frame].sum()) == (frame >= 5)
    # What the model was shown is the thing itself.
    assert plain.rows[6]["presence"] == grown.rows[6]["presence"]
    message.sightings[1].region.shaping.invert = True
    everything_else = await tracked(client, message)
    assert np.array_equal(everything_else.masks[7], ~grown.masks[7])


async def test_an_overlay_tints_the_region_and_leaves_the_rest(client: Client) -> None:
    found = await tracked(client, request(await client.upload(clip(walk())), overlay=True))
    shown = frames_of(await client.download(found.result.overlay), "rgb24")
    assert len(shown) == FRAMES and shown[0].shape == (HEIGHT, WIDTH, 3)
    for frame, picture in enumerate(shown):
        far = np.ones((HEIGHT, WIDTH), bool)
        far[16:48, max(0, edge(frame) - 8) : edge(frame) + SIDE + 8] = False
        assert np.abs(picture[far].astype(int) - GROUND).max() < 16
        middle = picture[32, edge(frame) + SIDE // 2].astype(int)
        assert np.abs(middle - RED).max() > 16


async def test_an_overlay_with_odd_sides_has_a_note(client: Client) -> None:
    odd = [picture[:, 1:] for picture in walk(frames=2)]
    found = await tracked(client, request(await client.upload(clip(odd)), overlay=True))
    assert any("odd" in note for note in found.result.notes)
    plain = await tracked(client, request(await client.upload(clip(odd))))
    assert not any("odd" in note for note in plain.result.notes)


async def test_a_model_that_lost_its_memory_gives_the_same_masks(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    once = await tracked(client, request(name))
    triton.sam.forgets_at = [4, 8]
    again = await tracked(client, request(name))
    assert (again.result.masks, again.result.track) == (once.result.masks, once.result.track)
    corrected = await tracked(client, request(name, 0, 5))
    triton.sam.forgets_at = [5]  # where a mask would begin a memory anew
    assert (await tracked(client, request(name, 0, 5))).result.masks == corrected.result.masks
    triton.sam.forgets_at = [4] * 5
    failure = await failed(client, request(name))
    assert failure.reason == "MODEL_DOWN" and "forgot" in failure.message


async def test_frames_are_sent_ahead_as_many_as_the_model_wants(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    masks = set()
    for lookahead in (1, 2):
        triton.sam.lookahead, triton.sam.most_ahead = lookahead, 0
        masks.add((await tracked(client, request(name, 0, 5, frames=8))).result.masks)
        assert 1 <= triton.sam.most_ahead <= lookahead + 1  # beside the one that is asked for
    assert len(masks) == 1
    assert not triton.sam.ahead


async def test_a_frame_that_the_model_dropped_is_sent_again(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    once = await tracked(client, request(name))
    triton.sam.drops = [3, 7]
    again = await tracked(client, request(name))
    assert (again.result.masks, again.result.track) == (once.result.masks, once.result.track)
    assert not triton.sam.drops


async def test_where_sam_is_served_twice_and_dies_once_the_masks_are_the_same(
    start: Start, triton: Triton
) -> None:
    async with Triton() as other:
        _, client = await start(INTARSIA_TRITON_SAM=f"{triton.url},{other.url}")
        name = await client.upload(clip(walk()))
        once = await tracked(client, request(name))
        assert not (triton.sam.frames and other.sam.frames)  # every frame went to one of them
        reached = asyncio.Event()
        for server in (triton, other):
            server.sam.hold_at, server.sam.reached[5] = 5, reached
        job = await client.ask(client.segmentation.TrackRegion(request(name)))
        await reached.wait()
        (dying,) = [server for server in (triton, other) if server.sam.followed]
        triton.sam.hold_at = other.sam.hold_at = None
        await dying.stop()
        finished = await client.finished(job.name)
        assert finished.result.track.masks == once.result.masks, finished.failure


@pytest.mark.parametrize("reloaded", [True, False])
async def test_no_other_weights_follow_the_rest_of_a_clip(
    start: Start, triton: Triton, reloaded: bool
) -> None:
    """Whether a model is loaded anew, or dies and leaves one with other weights."""
    async with Triton() as other:
        other.sam.weights = "5b" * 32
        _, client = await start(INTARSIA_TRITON_SAM=f"{triton.url},{other.url}")
        name, reached = await client.upload(clip(walk())), asyncio.Event()
        for server in (triton, other):
            server.sam.hold_at, server.sam.reached[5] = 5, reached
        job = await client.ask(client.segmentation.TrackRegion(request(name)))
        await reached.wait()
        following, left = (triton, other) if triton.sam.followed else (other, triton)
        assert not left.sam.frames and not left.sam.asked
        if reloaded:
            following.sam.weights = "5c" * 32
            following.sam.go_on.set()
        else:
            await following.stop()
        failure = (await client.finished(job.name)).failure
        assert failure.reason == "MODEL_DOWN" and "other weights" in failure.message
        assert not left.sam.frames


async def test_a_cancelled_job_leaves_nothing_behind(start: Start, triton: Triton, tmp_path: Path) -> None:
    _, client = await start()
    name = await client.upload(clip(walk()))
    before = sorted(path for path in (tmp_path / "artifacts").rglob("*") if path.is_file())
    triton.sam.hold_at, triton.sam.reached[6] = 6, asyncio.Event()
    job = await client.ask(client.segmentation.TrackRegion(request(name, overlay=True)))
    await triton.sam.reached[6].wait()
    await client.ask(client.jobs.CancelJob(jb.CancelJobRequest(name=job.name)))
    assert (await client.finished(job.name)).state == jb.Job.STATE_CANCELLED
    assert not triton.sam.followed and not triton.sam.ahead
    assert sorted(path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()) == before


async def test_progress_counts_frames(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    triton.sam.hold_at, triton.sam.reached[7] = 7, asyncio.Event()
    job = await client.ask(client.segmentation.TrackRegion(request(name)))
    await triton.sam.reached[7].wait()
    at = (await client.ask(client.jobs.GetJob(jb.GetJobRequest(name=job.name)))).progress
    assert (at.stage, at.step, at.steps) == ("track", 7, FRAMES)
    assert 0.6 < at.fraction < 0.8 and at.HasField("remaining")
    await client.ask(client.jobs.CancelJob(jb.CancelJobRequest(name=job.name)))


async def test_progress_counts_anew_when_following_begins_anew(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    triton.sam.forgets_at = [6]
    triton.sam.hold_at, triton.sam.reached[8] = 8, asyncio.Event()
    job = await client.ask(client.segmentation.TrackRegion(request(name, 0, 2, 4)))
    await triton.sam.reached[8].wait()
    at = (await client.ask(client.jobs.GetJob(jb.GetJobRequest(name=job.name)))).progress
    assert (at.stage, at.step, at.steps) == ("track", 8, FRAMES)
    assert at.fraction == pytest.approx(0.03 + 0.95 * 0.8)
    await client.ask(client.jobs.CancelJob(jb.CancelJobRequest(name=job.name)))


@pytest.mark.parametrize("announced", [4_294_967_280, -7])
async def test_what_a_file_announces_spoils_no_progress(
    client: Client, triton: Triton, monkeypatch: pytest.MonkeyPatch, announced: int
) -> None:
    monkeypatch.setattr(Clip, "_frame_count", lambda _: announced)
    name = await client.upload(clip(walk()))
    triton.sam.hold_at, triton.sam.reached[7] = 7, asyncio.Event()
    job = await client.ask(client.segmentation.TrackRegion(request(name)))
    await triton.sam.reached[7].wait()
    at = (await client.ask(client.jobs.GetJob(jb.GetJobRequest(name=job.name)))).progress
    assert (at.stage, at.step, at.steps) == ("track", 7, 0)
    await client.ask(client.jobs.CancelJob(jb.CancelJobRequest(name=job.name)))


async def test_the_best_of_a_faint_mask_is_what_is_seen(client: Client) -> None:
    drawn = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn[inside(0)] = 90
    mask = rg.Mask(artifact=await client.upload(png(drawn)), polarity=rg.POLARITY_WHITE_INSIDE)
    message = request(await client.upload(clip(walk(frames=3))))
    message.sightings[0].region.CopyFrom(rg.Region(mask=mask))
    found = await tracked(client, message)
    assert np.array_equal(found.masks[0], inside(0)) and found.result.seen == 3


async def test_a_trace_that_cannot_be_begun_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise InvalidRequest("no such encoder", field="overlay")

    monkeypatch.setattr("orchestrator.media.clip.track_writer.colour_clip", refused)
    store = DiskStore(tmp_path)
    name = (await store.put_bytes(clip(walk(frames=1)), "")).name
    clips = Clips(store, PictureLimits(), DecodingBudget(1e9))
    async with clips.open(name) as footage:
        with pytest.raises(InvalidRequest) as caught:
            async with clips.track_writer(footage, overlay=True):
                pass
    # The traceback would still hold what was left open, be it removed.
    assert caught.tb is not None
    assert not [path for path in opened_files() if path.startswith(str(tmp_path))]
    assert not list((tmp_path / "drafts").iterdir())


async def test_a_sighting_beyond_the_end_is_refused_by_its_field(client: Client) -> None:
    failure = await failed(client, request(await client.upload(clip(walk())), 0, 40))
    assert (failure.status, failure.metadata["field"]) == ("INVALID_ARGUMENT", "sightings[1].frame")
    assert "10 frames" in failure.message


async def test_what_is_no_clip_is_refused_by_its_field(client: Client) -> None:
    for data in (b"not a clip at all" * 99, png(walk()[0])):
        failure = await failed(client, request(await client.upload(data)))
        assert (failure.status, failure.metadata["field"]) == ("INVALID_ARGUMENT", "clip")


async def test_a_sighting_of_nothing_says_what_was_looked_for_where(start: Start, triton: Triton) -> None:
    triton.sam.knows_words = True
    _, client = await start()
    message = request(await client.upload(clip(walk())), 4)
    message.sightings[0].region.CopyFrom(rg.Region(words=rg.Words(phrase="a cat")))
    failure = await failed(client, message)
    assert failure.reason == "EMPTY_REGION" and "a cat" in failure.message
    assert failure.message.startswith("in frame 4, ") and failure.metadata["frame"] == "4"
    message = request(message.clip, 4)
    message.sightings[0].region.shaping.shrink = SIDE
    failure = await failed(client, message)
    assert failure.reason == "EMPTY_REGION" and "shrink it less" in failure.message
    assert failure.metadata["frame"] == "4"


BAD = [
    ("sightings", lambda message: message.ClearField("sightings")),
    ("sightings", lambda message: message.sightings.extend([message.sightings[0]] * 32)),
    ("sightings[1].frame", lambda message: message.sightings.append(message.sightings[0])),
    ("sightings[0].region", lambda message: message.sightings[0].ClearField("region")),
    ("sightings[0].region.box.right", lambda message: setattr(message.sightings[0].region.box, "right", -5)),
    (
        "sightings[0].region.shaping.feather",
        lambda message: setattr(message.sightings[0].region.shaping, "feather", 2),
    ),
    ("sightings[1].frame", lambda message: message.MergeFrom(request("", 5, frames=5))),
    ("clip", lambda message: setattr(message, "clip", "clip.mp4")),
    ("request_id", lambda message: setattr(message, "request_id", "seven")),
]


@pytest.mark.parametrize(("field", "spoil"), BAD, ids=[field for field, _ in BAD])
async def test_a_bad_request_is_refused_by_its_field(client: Client, field: str, spoil: Any) -> None:
    message = request(await client.upload(clip(walk(frames=1))))
    spoil(message)
    with pytest.raises(InvalidRequest) as caught:
        await client.ask(client.segmentation.TrackRegion(message))
    assert caught.value.field == field


async def test_a_clip_that_was_never_uploaded_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.ask(client.segmentation.TrackRegion(request("artifacts/" + "0" * 64)))


async def test_the_same_request_id_is_the_same_job(client: Client) -> None:
    message = request(
        await client.upload(clip(walk(frames=2))), request_id="6f9619ff-8b86-d011-b42d-00cf4fc964ff"
    )
    first = await client.ask(client.segmentation.TrackRegion(message))
    assert (await client.ask(client.segmentation.TrackRegion(message))).name == first.name
    message.overlay = True
    with pytest.raises(InvalidRequest, match="another request"):
        await client.ask(client.segmentation.TrackRegion(message))
