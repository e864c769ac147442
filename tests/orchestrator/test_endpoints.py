"""An orchestrator in front of models that are served at several addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import numpy as np
import pytest

from intarsia.v1 import editing_pb2 as ed
from intarsia.v1 import jobs_pb2 as jb
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.workflows.test_fill_region import hole

SUCCEEDED = jb.Job.STATE_SUCCEEDED


@pytest.fixture(params=[2, 3])
async def tritons(request: pytest.FixtureRequest) -> AsyncIterator[list[Triton]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Triton()) for _ in range(request.param)]


@pytest.fixture
async def served(start: Start, tritons: list[Triton]) -> Client:
    """A client of an orchestrator that uses all of them for every model."""
    orchestrator, client = await start(INTARSIA_TRITON=",".join(triton.url for triton in tritons))
    await orchestrator.wait_until_ready()
    return client


async def finished(client: Client, *requests: ed.EditRegionRequest | ed.FillRegionRequest) -> list[jb.Job]:
    """All of them, carried out at the same time."""

    async def one(request: ed.EditRegionRequest | ed.FillRegionRequest) -> jb.Job:
        edit = isinstance(request, ed.EditRegionRequest)
        call = client.editing.EditRegion if edit else client.editing.FillRegion
        return await client.finished((await client.ask(call(request))).name)

    return await asyncio.gather(*(one(request) for request in requests))


async def test_fills_with_adapters_succeed_at_every_endpoint(
    served: Client, tritons: list[Triton], picture: np.ndarray
) -> None:
    name, style = await served.upload(png(picture)), await served.upload(b"some tensors")
    request = hole(name, 40, 30, 100, 80, adapters=[ed.AdapterUse(adapter=style)])
    for _ in range(2 * len(tritons)):
        (job,) = await finished(served, request)
        assert job.state == SUCCEEDED, job.failure
    together = await finished(served, *[request] * 6)
    assert {job.state for job in together} == {SUCCEEDED}
    assert all(triton.sd2_inpaint.adapters for triton in tritons), "each has done some of it"


async def test_a_picture_is_sent_once_to_each_endpoint(
    served: Client, tritons: list[Triton], picture: np.ndarray
) -> None:
    name = await served.upload(png(picture))
    for _ in range(3 * len(tritons)):
        (job,) = await finished(served, click(name))
        assert job.state == SUCCEEDED, job.failure
    assert [triton.sam.pictures_received for triton in tritons] == [1] * len(tritons)
    assert [len(triton.sam.asked) for triton in tritons] == [3] * len(tritons)


async def test_a_picture_that_many_jobs_need_at_once_is_sent_once_to_each_endpoint(
    served: Client, tritons: list[Triton], picture: np.ndarray
) -> None:
    name = await served.upload(png(picture))
    jobs = await finished(served, *[click(name)] * 4 * len(tritons))
    assert {job.state for job in jobs} == {SUCCEEDED}
    assert [triton.sam.pictures_received for triton in tritons] == [1] * len(tritons)


async def test_all_questions_of_a_job_about_a_picture_go_to_one_endpoint(
    served: Client, tritons: list[Triton], picture: np.ndarray
) -> None:
    request = click(await served.upload(png(picture)))
    for n in range(5):
        request.further_edits.add(region=request.region, instruction=f"make it {n}")
    (job,) = await finished(served, request)
    assert job.state == SUCCEEDED, job.failure
    assert sorted(len(triton.sam.asked) for triton in tritons) == [0] * (len(tritons) - 1) + [6]


async def test_the_manifest_names_the_weights_that_did_the_work(
    start: Start, tritons: list[Triton], picture: np.ndarray
) -> None:
    """While a server has weights that others do not have any more, or not yet."""
    for n, triton in enumerate(tritons):
        triton.ip2p_unet.weights, triton.vae.weights = f"d{n}" * 32, f"a{n}" * 32
    _, served = await start(INTARSIA_TRITON=",".join(triton.url for triton in tritons))
    name = await served.upload(png(picture))
    for _ in range(2 * len(tritons)):
        before = [(len(triton.ip2p_unet.requests), triton.vae.decoded) for triton in tritons]
        (job,) = await finished(served, click(name))
        after = [(len(triton.ip2p_unet.requests), triton.vae.decoded) for triton in tritons]
        weights = job.result.picture.manifest.weights
        (denoised,) = [n for n, (old, new) in enumerate(zip(before, after, strict=True)) if new[0] > old[0]]
        (decoded,) = [n for n, (old, new) in enumerate(zip(before, after, strict=True)) if new[1] > old[1]]
        assert (weights["ip2p_unet"], weights["vae"]) == (f"d{denoised}" * 32, f"a{decoded}" * 32)


async def test_when_one_dies_what_had_begun_there_begins_again_at_another(
    served: Client, tritons: list[Triton], picture: np.ndarray
) -> None:
    """Two jobs for each server, held after their third step; then one server is stopped."""
    name, dying = await served.upload(png(picture)), tritons[0]
    for triton in tritons:
        triton.ip2p_unet.hold_at = 3
    jobs = [await served.edit(click(name)) for _ in range(2 * len(tritons))]
    for triton in tritons:
        while triton.ip2p_unet.holding < 2:
            triton.ip2p_unet.held.clear()
            await triton.ip2p_unet.held.wait()
    await dying.stop()
    more = [await served.edit(click(name)) for _ in range(4)]
    for triton in tritons[1:]:
        triton.ip2p_unet.hold_at = None
        triton.ip2p_unet.go_on.set()
    assert {(await served.finished(job.name)).state for job in (*jobs, *more)} == {SUCCEEDED}
    assert len(dying.ip2p_unet.requests) == 2
