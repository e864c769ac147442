"""Removals, and who does them."""

from __future__ import annotations

import numpy as np
import pytest

from intarsia.errors import InvalidRequest
from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from orchestrator.workflows.remove_region import INSTRUCTION
from tests.orchestrator.conftest import Start, png
from tests.orchestrator.doubles.triton import Triton


def removal(name: str) -> ed.RemoveRegionRequest:
    box = rg.Box(left=40, top=30, right=100, bottom=80, exact=True)
    job = ed.PictureJob(picture=name, sampling=ed.Sampling(seed=7, steps=2))
    return ed.RemoveRegionRequest(job=job, region=rg.Region(box=box))


@pytest.mark.parametrize(
    ("editor", "filler", "model"),
    [(0.0, 0.0, "sd2_inpaint"), (0.9, 0.95, "sd2_inpaint"), (0.97, 0.95, "ip2p_unet")],
)
async def test_it_is_done_by_the_model_whose_bundle_says_that_it_removes_more(
    editor: float, filler: float, model: str, start: Start, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.removal, triton.sd2_inpaint.removal = editor, filler
    _, client = await start()
    request = removal(await client.upload(png(picture)))
    plan = await client.ask(client.editing.PlanRegion(ed.PlanRegionRequest(remove_region=request)))
    assert plan.evaluations == (3 if model == "ip2p_unet" else 1)

    job = await client.finished((await client.ask(client.editing.RemoveRegion(request))).name)
    assert (job.state, job.method) == (jb.Job.STATE_SUCCEEDED, "RemoveRegion"), job.failure
    made = job.result.picture
    assert made.manifest.model == model and model in made.manifest.weights
    assert made.parts[0].instruction == (INSTRUCTION if model == "ip2p_unet" else "")
    after, mask = await client.pixels(made.picture), await client.pixels(made.mask)
    np.testing.assert_array_equal(after[mask == 0], picture[mask == 0])
    assert (after[mask > 0] != picture[mask > 0]).any()


async def test_one_that_left_the_thing_in_place_does_not_advise_to_remove_it(
    start: Start, triton: Triton
) -> None:
    triton.ip2p_unet.removal, triton.ip2p_unet.effect = 1.0, 0.0
    _, client = await start()
    # A picture that the double of the VAE draws again as it was.
    request = removal(await client.upload(png(np.full((120, 160, 3), 30, np.uint8))))
    job = await client.finished((await client.ask(client.editing.RemoveRegion(request))).name)
    (note,) = job.result.picture.manifest.notes
    assert note == "the edit changed almost nothing inside its region: 0% of the pixels"


async def test_tiles_are_refused_since_an_editor_may_do_it(start: Start, picture: np.ndarray) -> None:
    _, client = await start()
    request = removal(await client.upload(png(picture)))
    request.job.cut.layout = ed.LAYOUT_TILES
    with pytest.raises(InvalidRequest) as caught:
        await client.ask(client.editing.RemoveRegion(request))
    assert caught.value.field == "cut.layout"
