"""Jobs that another orchestrator goes on with, and jobs that end early with what they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.workflows.sampling import sheet_sampling
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.denoiser import Filler
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.doubles.walker import Walker
from tests.orchestrator.workflows.test_edit_region import CANCELLED, SUCCEEDED, edited
from tests.orchestrator.workflows.test_fill_region import filled, hole
from tests.orchestrator.workflows.test_track_region import FRAMES, clip, request, walk

# Every stage counts as long. A checkpoint comes every fifth step of an edit, every fifteenth of a fill.
LONG = {"INTARSIA_CHECKPOINT_AFTER_SECONDS": "0.000001", "INTARSIA_CHECKPOINT_SECONDS": "0.015"}


class FillWalker(Walker):
    """A walker that takes the inputs of fills."""

    guidance = Filler.guidance
    preparation = Filler.preparation


@pytest.fixture
def walker(triton: Triton) -> Walker:
    triton.ip2p_unet = walker = Walker()
    return walker


def reproducible(picture: str, **changes: object) -> ed.EditRegionRequest:
    return click(picture, sampling=ed.Sampling(seed=7, steps=60, reproducible=True), **changes)


async def test_the_next_orchestrator_goes_on_from_the_checkpoint(
    start: Start, walker: Walker, picture: np.ndarray, tmp_path: Path
) -> None:
    settings = {**LONG, "INTARSIA_JOBS_DATABASE": f"sqlite:///{tmp_path / 'jobs.sqlite'}"}
    first, client = await start(**settings)
    edit = reproducible(await client.upload(png(picture)))
    undisturbed = await edited(client, edit)
    walker.hold_at = 37
    job = await client.edit(edit)
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.step == 37:
            break
    await first.stop(0)
    walker.hold_at = None
    second, other = await start(**settings)
    await second.wait_until_ready()
    after = await other.finished(job.name)
    assert after.state == SUCCEEDED
    assert after.result.picture.picture == undisturbed.picture
    assert walker.resumed == [0, 0, 35] and walker.steps == 60 + 37 + 25


async def test_the_next_orchestrator_goes_on_in_the_tile_that_was_under_way(
    start: Start, triton: Triton, tmp_path: Path
) -> None:
    triton.sd2_inpaint = walker = FillWalker()
    settings = {**LONG, "INTARSIA_JOBS_DATABASE": f"sqlite:///{tmp_path / 'jobs.sqlite'}"}
    first, client = await start(**settings)
    wide = np.random.default_rng(8).integers(0, 256, (96, 300, 3), np.uint8)
    sampling = ed.Sampling(seed=7, steps=60, reproducible=True)
    fill = hole(await client.upload(png(wide)), 10, 20, 290, 76, sampling=sampling)
    undisturbed = await filled(client, fill)
    (part,) = undisturbed.parts
    tiles = len(part.sheets)
    assert tiles >= 3
    second_tile = sheet_sampling(ResolvedSampling(7, 60, {}, "euler", True), 1).seed
    walker.hold_at, walker.hold_seed = 37, second_tile
    job = await client.ask(client.editing.FillRegion(fill))
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.stage == "denoise" and state.progress.step == 60 + 37:
            break
    await first.stop(0)
    walker.hold_at = None
    second, other = await start(**settings)
    await second.wait_until_ready()
    after = await other.finished(job.name)
    assert after.state == SUCCEEDED
    assert after.result.picture.picture == undisturbed.picture
    assert walker.resumed[tiles:] == [0, 0, 30, *[0] * (tiles - 2)]


async def test_an_edit_that_is_cancelled_keeps_the_candidates_made_so_far(
    client: Client, triton: Triton, walker: Walker, picture: np.ndarray
) -> None:
    edit = reproducible(await client.upload(png(picture)), candidates=3)
    undisturbed = await edited(client, edit)
    walker.hold_at, walker.hold_seed = 4, 9
    job = await client.edit(edit)
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        # All of two candidates, and what there is of the third: it is encoded, and four steps are done.
        if state.progress.fraction > 0.08 + 0.92 * 2 / 3 + 0.06 / 3 + 0.76 / 3 * 4 / 60 - 0.001:
            break
    await client.jobs.CancelJob(jb.CancelJobRequest(name=job.name, keep_partial=True))
    ended = await client.finished(job.name)
    assert ended.state == CANCELLED
    made = [candidate.picture for candidate in ended.result.picture.candidates]
    assert made == [candidate.picture for candidate in undisturbed.candidates][:2]


async def test_an_edit_that_has_made_nothing_yet_keeps_nothing(
    client: Client, triton: Triton, walker: Walker, picture: np.ndarray
) -> None:
    edit = reproducible(await client.upload(png(picture)))
    walker.hold_at = 4
    job = await client.edit(edit)
    await walker.held.wait()
    await client.jobs.CancelJob(jb.CancelJobRequest(name=job.name, keep_partial=True))
    ended = await client.finished(job.name)
    assert ended.state == CANCELLED and not ended.HasField("result")
    assert ended.failure.reason == "CANCELLED" and len(walker.requests) == 1


async def test_a_track_that_is_cancelled_keeps_the_frames_it_has(client: Client, triton: Triton) -> None:
    name = await client.upload(clip(walk()))
    triton.sam.hold_at = 6
    job = await client.ask(client.segmentation.TrackRegion(request(name)))
    async for state in client.jobs.WatchJob(jb.WatchJobRequest(name=job.name)):
        if state.progress.stage == "track" and state.progress.step == 6:
            break
    await client.jobs.CancelJob(jb.CancelJobRequest(name=job.name, keep_partial=True))
    triton.sam.go_on.set()
    ended = await client.finished(job.name)
    assert ended.state == CANCELLED
    assert 6 <= ended.result.track.frames < FRAMES
    triton.sam.hold_at = None
    await client.jobs.RetryJob(jb.RetryJobRequest(name=job.name))
    again = await client.finished(job.name)
    assert again.state == SUCCEEDED and again.result.track.frames == FRAMES
