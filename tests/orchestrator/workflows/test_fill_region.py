"""Fills through a real server, in front of models made of numpy."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from intarsia.errors import Busy, InvalidRequest, NotFound, NotReady
from intarsia.v1 import adapters_pb2 as ad
from intarsia.v1 import adapters_pb2_grpc
from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import results_pb2 as rs
from orchestrator.media.picture.parameters import parameters_of
from tests.orchestrator.conftest import Client, Start, click, picture_request, png
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton

SUCCEEDED, FAILED = jb.Job.STATE_SUCCEEDED, jb.Job.STATE_FAILED


def hole(picture: str, left: int, top: int, right: int, bottom: int, **changes: Any) -> ed.FillRegionRequest:
    """A fill of a rectangle, in four steps."""
    request = picture_request(
        ed.FillRegionRequest,
        picture=picture,
        region=rg.Region(box=rg.Box(left=left, top=top, right=right, bottom=bottom, exact=True)),
        sampling=ed.Sampling(steps=4, seed=9),
    )
    request.MergeFrom(picture_request(ed.FillRegionRequest, **changes))
    return request


async def filled(client: Client, request: ed.FillRegionRequest) -> rs.PictureResult:
    job = await client.finished((await client.ask(client.editing.FillRegion(request))).name)
    assert job.state == SUCCEEDED, job.failure
    assert job.method == "FillRegion"
    return job.result.picture


async def test_only_the_hole_is_filled(client: Client, triton: Triton, picture: np.ndarray) -> None:
    result = await filled(client, hole(await client.upload(png(picture)), 40, 30, 100, 80))
    after, mask = await client.pixels(result.picture), await client.pixels(result.mask)
    np.testing.assert_array_equal(after[mask == 0], picture[mask == 0])
    # The double fills with white; well inside nothing of the picture is left.
    assert after[45:65, 55:85].min() > 240
    sent = triton.sd2_inpaint.requests[0]
    assert sent["guidance"].tolist() == [7.5] and sent["hole"].shape == (1, *sent["source"].shape[1:])
    assert set(np.unique(sent["hole"])) == {0.0, 1.0} and (sent["spread"] > 0).all()
    assert dict(result.manifest.weights).keys() == {"vae", "text_encoder", "sd2_inpaint"}
    assert dict(result.manifest.licences) == {"sd2_inpaint": "A Licence; https://example.org/terms"}


async def test_the_model_never_sees_what_is_in_the_hole(client: Client, triton: Triton) -> None:
    sources = []
    for level in (0, 200):
        pixels = np.full((96, 96, 3), 90, np.uint8)
        pixels[40:56, 40:56] = level
        await filled(client, hole(await client.upload(png(pixels)), 40, 40, 56, 56))
        sources.append(triton.sd2_inpaint.requests[-1]["source"])
    np.testing.assert_array_equal(*sources)


async def test_a_crack_finer_than_a_latent_is_seen(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    # A line of one pixel that lies between the pixels a latent hole is read from.
    await filled(client, hole(name, 60, 20, 61, 90))
    assert triton.sd2_inpaint.requests[-1]["hole"].any()
    await filled(client, hole(name, 60, 20, 61, 90, margin=0))
    assert not triton.sd2_inpaint.requests[-1]["hole"].any()


async def test_damage_larger_than_the_weights_goes_in_tiles(client: Client, triton: Triton) -> None:
    large = np.random.default_rng(5).integers(0, 256, (300, 420, 3), np.uint8)
    name = await client.upload(png(large))
    result = await filled(client, hole(name, 20, 20, 400, 280))
    sheets = result.parts[0].sheets
    assert len(sheets) == len(triton.sd2_inpaint.requests) > 6
    assert {(sheet.working_width, sheet.working_height) for sheet in sheets} == {(128, 128)}
    after, mask = await client.pixels(result.picture), await client.pixels(result.mask)
    np.testing.assert_array_equal(after[mask == 0], large[mask == 0])
    assert after[40:260, 40:380].min() > 220  # the double mixes white with grey where a hole cuts its cells
    seeds = [int(sent["seed"][0]) for sent in triton.sd2_inpaint.requests]
    assert seeds[0] == 9 and len(set(seeds)) == len(seeds)
    told = parameters_of(await client.download(result.picture))
    assert told is not None and [sheet["seed"] for sheet in told["regions"][0]["sheets"]] == seeds
    # Later tiles see what earlier ones have made: white, not the noise that was there.
    later = triton.sd2_inpaint.requests[1]
    assert not later["hole"][0, 5, :4].any() and later["hole"][0, 5, 6:].all()
    np.testing.assert_allclose(later["source"][:3, 5, :4], 1, atol=0.02)
    fitted = await filled(client, hole(name, 20, 20, 400, 280, cut=ed.Cut(layout=ed.LAYOUT_FIT)))
    assert len(fitted.parts[0].sheets) == 1


async def test_candidates_have_consecutive_seeds_and_files_of_their_own(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    request = hole(await client.upload(png(picture)), 40, 30, 100, 80, candidates=3, prompt="a star")
    result = await filled(client, request)
    assert [one.seed for one in result.candidates] == [9, 10, 11]
    assert sorted(int(sent["seed"][0]) for sent in triton.sd2_inpaint.requests) == [9, 10, 11]
    assert result.picture == result.candidates[0].picture
    told = [parameters_of(await client.download(one.picture)) for one in result.candidates]
    assert [each["seed"] for each in told if each] == [9, 10, 11]
    assert told[0] is not None
    (region,) = told[0]["regions"]
    assert (region["prompt"], region["margin"], region["overlap"]) == ("a star", 4, 0)


async def test_candidates_of_a_large_picture_wait_for_memory(
    client: Client, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.workflows.job_memory._CANDIDATES_BYTES", 1)
    request = hole(await client.upload(png(picture)), 40, 30, 100, 80, candidates=3)
    job = await client.ask(client.editing.FillRegion(request))
    under_way = [state.progress for state in await client.follow(job.name)]
    assert [int(sent["seed"][0]) for sent in triton.sd2_inpaint.requests] == [9, 10, 11]
    assert under_way[-1].fraction == 1
    shares = [at.fraction for at in under_way]
    assert shares == sorted(shares)


async def test_views_and_the_collage_are_made_when_requested(client: Client, picture: np.ndarray) -> None:
    views = list(rs.View.Kind.values())[1:]
    output = ed.Output(views=views, collage=ed.Collage(captions=["before", "where", "seed {seed}"]))
    request = hole(await client.upload(png(picture)), 40, 30, 100, 80, candidates=2, output=output)
    result = await filled(client, request)
    shared = {view.kind: await client.pixels(view.picture) for view in result.views}
    assert shared.keys() == {rs.View.KIND_OVERLAY, rs.View.KIND_BLANK}
    assert (shared[rs.View.KIND_BLANK][30:80, 40:100] == 255).all()
    for one in result.candidates:
        own = {view.kind: await client.pixels(view.picture) for view in one.views}
        assert own[rs.View.KIND_SIDE_BY_SIDE].shape == (120, 2 * 160 + 20, 3)
        layer, after = own[rs.View.KIND_LAYER], await client.pixels(one.picture)
        laid = np.where(layer[..., 3:] > 0, layer[..., :3], picture)
        np.testing.assert_array_equal(laid, after)
    strip = 34  # of captions below pictures 120 pixels high
    collage = await client.pixels(result.collage)
    assert collage.shape == (2 * (120 + strip) + 20, 3 * 160 + 2 * 20, 3)
    np.testing.assert_array_equal(collage[:120, :160], picture)
    plain = hole(request.job.picture, 40, 30, 100, 80)
    result = await filled(client, plain)
    assert not result.collage and not result.views and not result.candidates[0].views


async def test_a_collage_shows_files_of_fewer_bits_as_bright_as_the_picture(client: Client) -> None:
    deep = np.full((96, 96, 3), 40_000, np.uint16)
    name = await client.upload(cv2.imencode(".png", deep)[1].tobytes())
    output = ed.Output(format=ed.FORMAT_WEBP, collage=ed.Collage())
    result = await filled(client, hole(name, 40, 30, 60, 50, output=output))
    data = np.frombuffer(await client.download(result.collage), np.uint8)
    collage = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(collage[:20, :20], np.uint16(40_000))
    np.testing.assert_array_equal(collage[:20, -20:], np.uint16(40_092))  # the nearest of 256 levels


async def test_a_server_without_the_weights_is_an_error(
    client: Client, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Refused("Request for unknown model: 'sd2_inpaint' is not found")
    triton.broken["sd2_inpaint"] = unknown
    monkeypatch.setattr("orchestrator.triton.endpoint._FACTS_KEPT_SECONDS", 0.0)
    name = await client.upload(png(picture))
    job = await client.finished((await client.ask(client.editing.FillRegion(hole(name, 1, 1, 9, 9)))).name)
    assert (job.state, job.failure.reason) == (FAILED, NotReady.reason)
    assert "sd2_inpaint" in job.failure.message


async def test_a_server_that_never_had_the_weights_takes_no_fill_until_they_are_there(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    triton.broken["sd2_inpaint"] = Refused("Request for unknown model: 'sd2_inpaint' is not found")
    orchestrator, client = await start()
    await orchestrator.wait_until_ready()
    asked = hole(await client.upload(png(picture)), 1, 1, 9, 9)
    with pytest.raises(NotReady, match="sd2_inpaint"):
        await client.ask(client.editing.FillRegion(asked))
    del triton.broken["sd2_inpaint"]
    await filled(client, asked)


async def test_a_plan_has_the_cost_and_starts_no_job(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.seconds = 0.1
    orchestrator, client = await start()
    await orchestrator.wait_until_ready()
    name = await client.upload(png(picture))
    edit = click(name, candidates=2)
    plan = await client.ask(client.editing.PlanRegion(ed.PlanRegionRequest(edit_region=edit)))
    assert (plan.steps, plan.evaluations, plan.candidates) == (10, 3, 2)
    # A sheet of 80 x 80 pixels has 10 x 10 latents.
    (question,) = triton.ip2p_unet.cost_questions
    assert question["sheets"] == [[10, 10]] and question["guidance"]["picture_guidance"] == 1.5
    assert plan.denoising.ToTimedelta().total_seconds() == pytest.approx(0.3 * 10 * 2)
    part = plan.parts[0]
    assert part.instruction == "make it blue" and part.region.area == 1264
    assert (part.sheets[0].working_width, part.crop.left) == (80, 40)
    fill = ed.PlanRegionRequest(fill_region=hole(name, 40, 30, 100, 80))
    assert (await client.ask(client.editing.PlanRegion(fill))).evaluations == 1
    assert not triton.ip2p_unet.requests and not triton.sd2_inpaint.requests
    with pytest.raises(InvalidRequest, match="edit_region or fill_region"):
        await client.ask(client.editing.PlanRegion(ed.PlanRegionRequest()))


async def test_several_edits_are_laid_over_each_other_in_order(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    def rectangle(left: int, right: int) -> rg.Region:
        box = rg.Box(left=left, top=30, right=right, bottom=90, exact=True)
        return rg.Region(box=box, shaping=rg.Shaping(feather=0))

    request = click(await client.upload(png(picture)))
    request.region.CopyFrom(rectangle(20, 90))
    request.further_edits.add(instruction="make it a star").region.CopyFrom(rectangle(60, 130))
    job = await client.finished((await client.edit(request)).name)
    assert job.state == SUCCEEDED, job.failure
    made = job.result.picture
    assert [part.instruction for part in made.parts] == ["make it blue", "make it a star"]
    after, mask = await client.pixels(made.picture), await client.pixels(made.mask)
    assert (mask[30:90, 20:130] == 255).all() and (mask > 0).sum() == 60 * 110
    np.testing.assert_array_equal(after[mask == 0], picture[mask == 0])
    # Both turn means of cells into their negative: what both have worked on is back near its mean.
    first, both = after[35:85, 25:55].mean(), after[35:85, 65:85].mean()
    assert abs(first - both) < 40
    # The second edit has seen what the first has made.
    one, other = (sent["source"] for sent in triton.ip2p_unet.requests)
    assert one.shape == other.shape and not np.array_equal(one, other)


async def test_the_region_of_a_further_edit_is_named_by_its_path(client: Client, picture: np.ndarray) -> None:
    request = click(await client.upload(png(picture)))
    request.further_edits.add(instruction="x").region.clicks.clicks.add(x=500, y=5)
    job = await client.finished((await client.edit(request)).name)
    assert job.failure.metadata["field"] == "further_edits[0].region.clicks.clicks[0].x"
    with pytest.raises(InvalidRequest) as refused:
        request.further_edits[0].ClearField("instruction")
        await client.edit(request)
    assert refused.value.field == "further_edits[0].instruction"


async def test_an_adapter_is_sent_when_the_model_does_not_have_it(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name, style = await client.upload(png(picture)), await client.upload(b"some tensors")
    request = hole(name, 40, 30, 100, 80, adapters=[ed.AdapterUse(adapter=style, strength=0.5)])
    result = await filled(client, request)
    assert dict(result.manifest.adapters) == {style: 0.5}
    assert triton.sd2_inpaint.adapters == {style.removeprefix("artifacts/"): b"some tensors"}
    triton.sd2_inpaint.adapters.clear()  # as when others needed its room
    await filled(client, request)
    assert triton.sd2_inpaint.adapters
    with pytest.raises(NotFound):
        await client.ask(
            client.editing.FillRegion(
                hole(name, 1, 1, 9, 9, adapters=[ed.AdapterUse(adapter="artifacts/" + "0" * 64)])
            )
        )


async def test_an_adapter_that_fits_nothing_ends_the_job_before_any_step(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name, style = await client.upload(png(picture)), await client.upload(b"bad tensors")
    request = hole(name, 40, 30, 100, 80, adapters=[ed.AdapterUse(adapter=style)])
    job = await client.finished((await client.ask(client.editing.FillRegion(request))).name)
    assert (job.state, job.failure.metadata["field"]) == (FAILED, "adapters[0].adapter")
    assert not triton.sd2_inpaint.requests


async def test_adapters_that_push_each_other_out_find_the_model_full(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.sd2_inpaint.room = 15
    styles = [await client.upload(data) for data in (b"some tensors", b"more tensors")]
    request = hole(await client.upload(png(picture)), 40, 30, 100, 80)
    request.job.adapters.extend(ed.AdapterUse(adapter=style) for style in styles)
    job = await client.finished((await client.ask(client.editing.FillRegion(request))).name)
    assert (job.state, job.failure.reason) == (FAILED, Busy.reason)
    assert "fewer or smaller" in job.failure.message


async def test_an_adapter_larger_than_the_budget_is_not_sent(start: Start, triton: Triton) -> None:
    triton.ip2p_unet.room = 11
    _, client = await start()
    adapters = adapters_pb2_grpc.AdaptersStub(client.channel)
    style = await client.upload(b"some tensors")
    with pytest.raises(InvalidRequest, match="has 12 bytes, and at most 11 are read") as refused:
        await client.ask(adapters.InspectAdapter(ad.InspectAdapterRequest(adapter=style, model="ip2p_unet")))
    assert refused.value.field == "adapter" and not triton.ip2p_unet.adapters


async def test_an_adapter_can_be_looked_at(client: Client) -> None:
    adapters = adapters_pb2_grpc.AdaptersStub(client.channel)
    style = await client.upload(b"some tensors")
    found = await client.ask(
        adapters.InspectAdapter(ad.InspectAdapterRequest(adapter=style, model="ip2p_unet"))
    )
    assert (found.kind, found.layout, found.rank, found.matched) == (
        ad.InspectAdapterResponse.KIND_LORA,
        "peft",
        4,
        16,
    )
    assert list(found.unexpected) == ["te.key"] and dict(found.metadata) == {"made": "by hand"}
    bad = await client.upload(b"bad tensors")
    with pytest.raises(InvalidRequest, match="fits no layer") as refused:
        await client.ask(adapters.InspectAdapter(ad.InspectAdapterRequest(adapter=bad, model="ip2p_unet")))
    assert refused.value.field == "adapter"
    with pytest.raises(InvalidRequest, match="ip2p_unet or sd2_inpaint"):
        await client.ask(adapters.InspectAdapter(ad.InspectAdapterRequest(adapter=style, model="sam")))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidates": 17}, "candidates"),
        ({"margin": 65}, "margin"),
        ({"sampling": ed.Sampling(guidance={"picture": 1.5})}, "sampling.guidance.picture"),
        ({"sampling": ed.Sampling(guidance={"motion": 1})}, "sampling.guidance.motion"),
        ({"sampling": ed.Sampling(seed=2**63 - 1), "candidates": 2}, "sampling.seed"),
        ({"cut": ed.Cut(overlap=513)}, "cut.overlap"),
        ({"cut": ed.Cut(layout=99)}, "cut.layout"),
        ({"output": ed.Output(views=[0])}, "output.views[0]"),
        ({"output": ed.Output(collage=ed.Collage(captions=["one"]))}, "output.collage.captions"),
        ({"output": ed.Output(collage=ed.Collage(spacing_vertical=600))}, "output.collage.spacing_vertical"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"adapters": [ed.AdapterUse(adapter="style")]}, "adapters[0].adapter"),
        ({"adapters": [ed.AdapterUse(adapter="artifacts/" + "0" * 64, strength=5)]}, "adapters[0].strength"),
        ({"adapters": [ed.AdapterUse(adapter="artifacts/" + "0" * 64)] * 2}, "adapters[1].adapter"),
    ],
)
async def test_a_wrong_field_is_named(
    client: Client, picture: np.ndarray, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await client.ask(
            client.editing.FillRegion(hole(await client.upload(png(picture)), 40, 30, 100, 80, **changes))
        )
    assert refused.value.field == field


async def test_a_preview_shows_the_first_candidate(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.sd2_inpaint.hold_at = 3
    request = hole(await client.upload(png(picture)), 40, 30, 100, 80, preview_every=1, candidates=2)
    job = await client.ask(client.editing.FillRegion(request))
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.preview:
            preview = Image.open(io.BytesIO(await client.download(state.progress.preview)))
            assert preview.format == "JPEG"
            triton.sd2_inpaint.go_on.set()
    assert state.state == SUCCEEDED
    asked = {int(sent["seed"][0]): int(sent["preview_every"][0]) for sent in triton.sd2_inpaint.requests}
    assert asked == {9: 1, 10: 0}
