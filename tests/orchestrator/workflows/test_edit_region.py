"""Edits through a real server, in front of models made of numpy."""

from __future__ import annotations

import asyncio
import gc
import io
import weakref
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from PIL import Image

from intarsia.errors import InvalidRequest, NotFound
from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import results_pb2 as rs
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.pictures import Pictures
from orchestrator.models.sam import Sam
from store.artifact import Artifact
from store.disk import DiskStore
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton

ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


SUCCEEDED, FAILED, CANCELLED = jb.Job.STATE_SUCCEEDED, jb.Job.STATE_FAILED, jb.Job.STATE_CANCELLED


async def edited(client: Client, request: ed.EditRegionRequest) -> rs.PictureResult:
    job = await client.finished((await client.edit(request)).name)
    assert job.state == SUCCEEDED, job.failure
    return job.result.picture


async def test_pixels_outside_the_region_keep_their_bytes(client: Client, picture: np.ndarray) -> None:
    result = await edited(client, click(await client.upload(png(picture))))
    after, mask = await client.pixels(result.picture), await client.pixels(result.mask)
    inside = mask > 0
    assert inside.any() and not inside.all()
    np.testing.assert_array_equal(after[~inside], picture[~inside])
    assert (after[inside] != picture[inside]).any()


async def test_a_crop_is_worked_at_a_size_that_the_bundle_lists(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.sizes = [64, 96, 128]
    _, client = await start()
    name = await client.upload(png(picture))
    for request, side in (click(name), 96), (click(name, cut=ed.Cut(working_size=72)), 72):
        made = (await edited(client, request)).manifest
        assert (made.working_width, made.working_height) == (side, side)


async def test_the_result_has_the_region_and_the_settings(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    request = click(
        await client.upload(png(picture)),
        sampling=ed.Sampling(seed=7, guidance={"text": 5}, scheduler=ed.SCHEDULER_DDIM, reproducible=True),
    )
    result = await edited(client, request)
    made = result.manifest
    assert (made.seed, made.steps, made.guidance) == (7, 10, {"text": 5.0, "picture": 1.5})
    assert (made.scheduler, made.reproducible, made.path) == ("ddim", True, "eager")
    # A disc of radius 20 round (80, 60), half its size around it, and at least 64 pixels for the model.
    box, crop = result.region.box, made.crop
    assert (box.left, box.top, box.right, box.bottom) == (60, 40, 100, 80)
    assert (crop.left, crop.top, crop.right, crop.bottom) == (40, 20, 120, 100)
    assert (made.working_width, made.working_height) == (80, 80)
    assert result.region.score == pytest.approx(0.9) and result.region.area == 1264
    assert result.region.mask == result.mask
    assert dict(made.weights) == {
        "sam": "5a" * 32,
        "text_encoder": "7e" * 32,
        "vae": "0a" * 32,
        "ip2p_unet": "d0" * 32,
    }
    assert [time.stage for time in made.stage_times] == ["segment", "encode", "denoise", "decode", "inlay"]
    sent = triton.ip2p_unet.requests[0]
    assert sent["seed"].dtype == np.uint64 and sent["seed"][0] == 7
    assert sent["guidance"].tolist() == [5.0, 1.5] and sent["reproducible"][0] == 1
    assert sent["source"].shape == (4, 10, 10)


async def test_an_unset_seed_is_drawn_and_reported(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    seeds = [(await edited(client, click(name))).manifest.seed for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert [int(sent["seed"][0]) for sent in triton.ip2p_unet.requests] == seeds


async def test_progress_never_falls_and_names_every_step(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.hold_at = 6
    job = await client.edit(click(await client.upload(png(picture))))
    heard = []
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        heard.append(state)
        if state.progress.step == 6:
            assert state.progress.stage == "denoise" and state.progress.steps == 10
            assert state.progress.HasField("remaining")
            triton.ip2p_unet.go_on.set()
    fractions = [state.progress.fraction for state in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert any(state.progress.step == 6 for state in heard)
    assert heard[-1].state == SUCCEEDED


async def test_previews_are_pictures_of_the_crop(client: Client, triton: Triton, picture: np.ndarray) -> None:
    triton.ip2p_unet.hold_at = 5
    job = await client.edit(click(await client.upload(png(picture)), preview_every=4))
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.preview:
            preview = Image.open(io.BytesIO(await client.download(state.progress.preview)))
            assert (preview.format, preview.size) == ("JPEG", (80, 80))
            triton.ip2p_unet.go_on.set()
    assert state.state == SUCCEEDED and state.progress.preview


async def test_masks_are_stored_beside_the_models_work_and_before_the_result(
    client: Client, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoising, keep = asyncio.Event(), Pictures.keep_mask

    async def keep_late(self: Pictures, file: bytes) -> Artifact:
        await denoising.wait()
        return await keep(self, file)

    monkeypatch.setattr(Pictures, "keep_mask", keep_late)
    triton.ip2p_unet.hold_at = 6
    job = await client.edit(click(await client.upload(png(picture))))
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.step == 6:
            denoising.set()
            triton.ip2p_unet.go_on.set()
    assert state.state == SUCCEEDED
    assert (await client.pixels(state.result.picture.mask)).any()


async def test_equal_texts_are_encoded_once(client: Client, triton: Triton, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    await edited(client, click(name, negative_instruction="make it blue"))
    assert triton.text_encoder.asked == ["make it blue"]


async def test_words_that_did_not_fit_are_reported(client: Client, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    result = await edited(client, click(name, instruction="x" * 40 + "the end"))
    assert any("the end" in note for note in result.manifest.notes)


async def test_drawn_regions_need_no_model(client: Client, triton: Triton, picture: np.ndarray) -> None:
    triton.broken["sam"] = Refused("MODEL_DOWN: gone", grpc.StatusCode.UNAVAILABLE)
    mask = np.zeros((120, 160), np.uint8)
    mask[10:30, 20:50] = 255
    name, drawn = await client.upload(png(picture)), await client.upload(png(mask))
    corner = rg.Corner
    for region in (
        rg.Region(box=rg.Box(left=20, top=10, right=50, bottom=30, exact=True)),
        rg.Region(
            polygon=rg.Polygon(
                corners=[corner(x=20, y=10), corner(x=50, y=10), corner(x=50, y=30), corner(x=20, y=30)]
            )
        ),
        rg.Region(mask=rg.Mask(artifact=drawn, polarity=rg.POLARITY_WHITE_INSIDE)),
    ):
        request = click(name)
        request.region.CopyFrom(region)
        result = await edited(client, request)
        assert (result.region.area, result.region.score) == (600, 1.0)
        np.testing.assert_array_equal(await client.pixels(result.mask), mask)
        assert "sam" not in result.manifest.weights


async def test_a_picture_is_sent_to_sam_once(client: Client, triton: Triton, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    for _ in range(3):
        await edited(client, click(name))
    assert triton.sam.pictures_received == 1
    triton.sam.known.clear()  # as after a restart
    await edited(client, click(name))
    assert triton.sam.pictures_received == 2


async def test_alpha_survives(client: Client, picture: np.ndarray) -> None:
    alpha = np.random.default_rng(6).integers(0, 256, (120, 160, 1), np.uint8)
    name = await client.upload(png(np.concatenate([picture, alpha], axis=2)))
    result = await edited(client, click(name))
    after = await client.pixels(result.picture)
    assert after.shape == (120, 160, 4)
    np.testing.assert_array_equal(after[..., 3:], alpha)


async def test_sixteen_bits_survive(client: Client) -> None:
    deep = np.random.default_rng(6).integers(0, 65536, (120, 160, 3), np.uint16)
    name = await client.upload(cv2.imencode(".png", deep)[1].tobytes())
    result = await edited(client, click(name))
    data = np.frombuffer(await client.download(result.picture), np.uint8)
    after = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    outside = await client.pixels(result.mask) == 0
    assert after.dtype == np.uint16
    np.testing.assert_array_equal(after[outside], deep[outside])
    assert (after[~outside] != deep[~outside]).any()


async def test_an_edited_jpeg_is_written_lossless_by_default(client: Client, picture: np.ndarray) -> None:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "jpeg")
    name = await client.upload(data.getvalue())
    for asked, made in ((ed.FORMAT_UNSPECIFIED, "PNG"), (ed.FORMAT_JPEG, "JPEG"), (ed.FORMAT_WEBP, "WEBP")):
        result = await edited(client, click(name, output=ed.Output(format=asked)))
        assert Image.open(io.BytesIO(await client.download(result.picture))).format == made
        assert any("JPEG would change" in note for note in result.manifest.notes) == (not asked)


async def test_a_format_that_cannot_hold_the_picture_is_refused_before_any_work(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    clear = np.concatenate([picture, np.zeros_like(picture[..., :1])], axis=2)
    request = click(await client.upload(png(clear)), output=ed.Output(format=ed.FORMAT_JPEG))
    job = await client.finished((await client.edit(request)).name)
    assert job.failure.metadata["field"] == "output.format"
    assert triton.sam.pictures_received == 0


async def test_a_file_that_is_no_picture_is_refused_by_its_field(client: Client) -> None:
    job = await client.finished((await client.edit(click(await client.upload(b"no picture")))).name)
    assert job.state == FAILED
    assert (job.failure.status, job.failure.metadata["field"]) == ("INVALID_ARGUMENT", "picture")


@pytest.mark.parametrize("field", ["picture", "region.mask.artifact"])
async def test_what_can_be_no_picture_is_not_read_as_a_whole(
    start: Start, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    _, client = await start(INTARSIA_PICTURE_MEGAPIXELS="0.02")
    name = await client.upload(png(picture))
    loaded = []
    load = DiskStore.load

    async def noting(store: DiskStore, name: str) -> bytes:
        loaded.append(name)
        return await load(store, name)

    monkeypatch.setattr(DiskStore, "load", noting)
    monkeypatch.setattr(PictureLimits, "file_bytes", 100_000)
    zeros, long = await client.upload(bytes(5000)), await client.upload(png(picture) + bytes(100_000))
    for wrong, why in ((zeros, "not a picture"), (long, "100000")):
        request = click(wrong if field == "picture" else name)
        if field != "picture":
            request.region.mask.MergeFrom(rg.Mask(artifact=wrong, polarity=rg.POLARITY_WHITE_INSIDE))
        job = await client.finished((await client.edit(request)).name)
        assert job.failure.metadata["field"] == field and why in job.failure.message
    assert not {zeros, long} & set(loaded)


async def test_a_picture_that_was_never_uploaded_is_not_found(client: Client) -> None:
    """At once: a job that could only fail is not begun."""
    with pytest.raises(NotFound, match="0000"):
        await client.edit(click("artifacts/" + "0" * 64))
    assert not (await client.ask(client.jobs.ListJobs(jb.ListJobsRequest()))).jobs


async def test_a_click_outside_the_picture_is_named(client: Client, picture: np.ndarray) -> None:
    request = click(await client.upload(png(picture)))
    request.region.clicks.clicks[0].x = 160
    job = await client.finished((await client.edit(request)).name)
    assert job.failure.metadata["field"] == "region.clicks.clicks[0].x"


async def test_a_region_that_was_shrunk_away_is_empty(client: Client, picture: np.ndarray) -> None:
    request = click(await client.upload(png(picture)))
    request.region.shaping.shrink = 50
    job = await client.finished((await client.edit(request)).name)
    assert (job.failure.status, job.failure.reason) == ("NOT_FOUND", "EMPTY_REGION")
    assert "(80, 60)" in job.failure.message and job.failure.metadata["best_score"] == "0.900"


async def test_words_wait_for_weights_that_understand_them(
    client: Client, start: Start, triton: Triton, picture: np.ndarray
) -> None:
    request = click(await client.upload(png(picture)))
    request.region.words.phrase = "yellow dress"
    job = await client.finished((await client.edit(request)).name)
    assert (job.failure.status, job.failure.reason) == ("FAILED_PRECONDITION", "NOT_READY")

    triton.sam.knows_words = True
    triton.sam.things["yellow dress"] = [((60, 40, 100, 80), 0.9)]
    _, other = await start()
    assert (await edited(other, request)).region.area == 1600
    request.region.words.phrase = "nothing"
    job = await other.finished((await other.edit(request)).name)
    assert job.failure.reason == "EMPTY_REGION" and "“nothing”" in job.failure.message


async def test_a_scheduler_the_weights_do_not_have_is_refused_before_any_work(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    with pytest.raises(InvalidRequest, match="ddim, euler") as caught:
        await client.edit(click(name, sampling=ed.Sampling(scheduler=ed.SCHEDULER_UNIPC)))
    assert caught.value.field == "sampling.scheduler"
    assert not (await client.ask(client.jobs.ListJobs(jb.ListJobsRequest()))).jobs
    assert triton.sam.pictures_received == 0 and not triton.text_encoder.asked


async def test_candidates_that_were_not_chosen_are_dropped_before_the_long_part(
    client: Client, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates: list[weakref.ref[np.ndarray]] = []
    segment = Sam.segment

    async def noting(*args: Any) -> Any:
        found = await segment(*args)
        candidates.extend(weakref.ref(one.mask if one.mask.base is None else one.mask.base) for one in found)
        return found

    monkeypatch.setattr(Sam, "segment", noting)
    triton.ip2p_unet.hold_at = 0
    await client.edit(click(await client.upload(png(picture))))
    await triton.ip2p_unet.held.wait()
    gc.collect()
    assert [candidate() is None for candidate in candidates] == [True, True]  # what was chosen is a copy


async def test_an_edit_that_changes_next_to_nothing_says_so(client: Client, triton: Triton) -> None:
    # A picture that the double of the VAE draws again as it was.
    name = await client.upload(png(np.full((120, 160, 3), 30, np.uint8)))
    assert not (await edited(client, click(name))).manifest.notes
    triton.ip2p_unet.effect = 0.0
    unchanged = "the edit changed almost nothing inside its region: 0% of the pixels"
    assert unchanged in (await edited(client, click(name))).manifest.notes
    gone = await edited(client, click(name, instruction="Remove the star"))
    assert f"{unchanged}; remove-region makes a thing go" in gone.manifest.notes
    seeds = ed.Sampling(seed=7, steps=2)
    both = await edited(client, click(name, candidates=2, sampling=seeds))
    assert list(both.manifest.notes) == [f"seed {seed}: {unchanged}" for seed in (7, 8)]


async def test_words_that_the_text_encoder_does_not_know_are_told(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.text_encoder.unknown = {"flubber", "zorg"}
    request = click(await client.upload(png(picture)), instruction="flubber the zorg")
    (note,) = (await edited(client, request)).manifest.notes
    assert note == "the text encoder does not know these words of the instruction: “flubber”, “zorg”"
