"""Edits as jobs: repeated, cancelled, limited, and in a server that stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import grpc
import numpy as np
import pytest

from intarsia.errors import InvalidRequest, ModelDown
from intarsia.v1 import jobs_pb2 as jb
from orchestrator.jobs.latest_facts import LatestFacts
from orchestrator.models.facts import Facts
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.workflows.test_edit_region import CANCELLED, FAILED, ID, SUCCEEDED


async def test_a_repeated_request_id_gives_the_same_job(client: Client, picture: np.ndarray) -> None:
    request = click(await client.upload(png(picture)), request_id=ID)
    first = await client.edit(request)
    assert (await client.edit(request)).name == first.name
    await client.finished(first.name)
    assert (await client.edit(request)).name == first.name
    request.instruction = "make it red"
    with pytest.raises(InvalidRequest) as caught:
        await client.edit(request)
    assert caught.value.field == "request_id"


async def test_a_repeat_needs_no_model(
    client: Client, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives the job that it gave before, whatever has changed since."""
    request = click(await client.upload(png(picture)), request_id=ID)
    first = await client.edit(request)

    async def gone(latest: LatestFacts, models: Iterable[str]) -> Facts:
        raise ModelDown(f"all are gone: {', '.join(models)}")

    monkeypatch.setattr(LatestFacts, "of", gone)
    assert (await client.edit(request)).name == first.name
    request.job.request_id = ID.replace("7", "8")
    with pytest.raises(ModelDown, match="all are gone: ip2p_unet, text_encoder, vae, sam"):
        await client.edit(request)


async def test_a_cancel_reaches_the_step_loop(client: Client, triton: Triton, picture: np.ndarray) -> None:
    triton.ip2p_unet.hold_at = 3
    job = await client.edit(click(await client.upload(png(picture))))
    await triton.ip2p_unet.held.wait()
    await client.jobs.CancelJob(jb.CancelJobRequest(name=job.name))
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)
    ended = await client.finished(job.name)
    assert ended.state == CANCELLED and ended.failure.reason == "CANCELLED"
    assert not ended.HasField("result")


@pytest.mark.parametrize("tied", [True, False])
async def test_a_client_that_leaves_takes_only_tied_jobs_with_it(
    client: Client, triton: Triton, picture: np.ndarray, tied: bool
) -> None:
    triton.ip2p_unet.hold_at = 3
    job = await client.edit(click(await client.upload(png(picture))))
    watching = client.jobs.WatchJob(jb.WatchJobRequest(name=job.name, cancel_on_disconnect=tied))
    await watching.read()
    await triton.ip2p_unet.held.wait()
    watching.cancel()
    if tied:
        await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)
        assert (await client.finished(job.name)).state == CANCELLED
    else:
        triton.ip2p_unet.go_on.set()
        assert (await client.finished(job.name)).state == SUCCEEDED
        assert not triton.ip2p_unet.left.is_set()


async def test_a_job_that_takes_too_long_is_given_up(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.hold_at = 0
    request = click(await client.upload(png(picture)))
    request.job.time_limit.FromMilliseconds(2000)
    job = await client.finished((await client.edit(request)).name)
    assert job.state == FAILED
    assert (job.failure.status, job.failure.reason) == ("DEADLINE_EXCEEDED", "TIME_LIMIT")
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)
    assert max(triton.limits[-1:]) <= 2_000_000


async def test_too_many_jobs_are_refused(start: Start, triton: Triton, picture: np.ndarray) -> None:
    _, client = await start(INTARSIA_JOBS_RUNNING="1", INTARSIA_JOBS_WAITING="1")
    triton.ip2p_unet.hold_at = 0
    name = await client.upload(png(picture))
    await client.edit(click(name))
    await triton.ip2p_unet.held.wait()
    await client.edit(click(name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.editing.EditRegion(click(name))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stopping_server_finishes_its_jobs_and_accepts_no_new_ones(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    orchestrator, client = await start()
    triton.ip2p_unet.hold_at = 3
    name = await client.upload(png(picture))
    job = await client.edit(click(name))
    await triton.ip2p_unet.held.wait()
    following = asyncio.ensure_future(client.finished(job.name))
    stopping = asyncio.ensure_future(orchestrator.stop(30))
    await asyncio.sleep(0)
    with pytest.raises(ModelDown, match="shutting down"):
        await client.edit(click(name))
    triton.ip2p_unet.go_on.set()
    done = await following
    assert done.state == SUCCEEDED
    # The server goes on until its results are fetched.
    assert (await client.pixels(done.result.picture.picture)).shape == picture.shape
    assert (await client.pixels(done.result.picture.mask)).shape == picture.shape[:2]
    await stopping


async def test_a_job_that_outlives_the_grace_is_done_by_the_next_server(
    start: Start, triton: Triton, picture: np.ndarray, tmp_path: Path
) -> None:
    database = {"INTARSIA_JOBS_DATABASE": f"sqlite:///{tmp_path}/shared.sqlite"}
    orchestrator, client = await start(**database)
    triton.ip2p_unet.hold_at = 3
    job = await client.edit(click(await client.upload(png(picture))))
    await triton.ip2p_unet.held.wait()
    tied = client.jobs.WatchJob(jb.WatchJobRequest(name=job.name, cancel_on_disconnect=True))
    await tied.read()
    await orchestrator.stop(0.05)
    assert triton.ip2p_unet.left.is_set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while await tied.read():
            pass
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    triton.ip2p_unet.hold_at = None
    triton.ip2p_unet.go_on.set()
    orchestrator, client = await start(**database)
    await orchestrator.wait_until_ready()
    done = await client.finished(job.name)
    assert done.state == SUCCEEDED and done.attempt == 2
