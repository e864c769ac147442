"""Requests to a model that is served more than once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import numpy as np
import pytest
from grpc import StatusCode as Code

from intarsia.errors import Busy, ModelDown
from orchestrator.deadline import Deadline
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient, Unsuitable
from orchestrator.triton import tensors
from orchestrator.triton.endpoints import Affinity
from orchestrator.triton.lease import Lease
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton

FACTS = {"ask": tensors.text("facts")}
BUSY = Refused("BUSY: no memory", Code.UNAVAILABLE)
GONE = Refused("failed to connect", Code.UNAVAILABLE)

Serve = Callable[..., Awaitable[tuple[ModelClient, list[Triton]]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a model so many times."""
    async with AsyncExitStack() as stack:

        async def served(
            model: str, count: int, limits: StallLimits | None = None
        ) -> tuple[ModelClient, list[Triton]]:
            tritons = [await stack.enter_async_context(Triton()) for _ in range(count)]
            urls = {model: [triton.url for triton in tritons]}
            models = Models(urls, limits or StallLimits(), decoupled=("ip2p_unet",))
            stack.push_async_callback(models.close)
            return ModelClient(models[model], ModelQueue(WaitLimits()), fields={}), tritons

        yield served


def soon() -> Deadline:
    return Deadline.after(50)


def steps(count: int) -> dict[str, np.ndarray]:
    return {
        "source": np.ones((4, 8, 8), np.float32),
        "steps": np.array([count], np.int32),
        "preview_every": np.zeros(1, np.int32),
    }


async def denoise(client: ModelClient, count: int, work: float = 1.0) -> list[int]:
    """The steps that were reported."""
    reported: list[int] = []

    async def stream(lease: Lease) -> None:
        async with aclosing(lease.stream(steps(count), deadline=soon())) as replies:
            async for reply in replies:
                reported.append(int(reply["progress"][0]))
                lease.progress(reported[-1], count)

    await client.run(stream, deadline=soon(), work=work)
    return reported


@pytest.mark.parametrize("model", ["vae", "ip2p_unet"])
async def test_where_one_is_dead_the_next_is_used(serve: Serve, model: str) -> None:
    client, (dead, _) = await serve(model, 2)
    await dead.stop()
    for _ in range(3):
        assert (await client.facts())["weights" if model == "ip2p_unet" else "families"]


async def test_requests_of_a_dead_one_that_had_not_begun_run_elsewhere(serve: Serve) -> None:
    client, (one, two) = await serve("ip2p_unet", 2)
    one.ip2p_unet.hold_at = 0  # it takes requests, and does not answer
    waiting = asyncio.ensure_future(denoise(client, 3))
    await one.ip2p_unet.held.wait()
    await one.stop()
    assert await waiting == [1, 2, 3]
    assert len(two.ip2p_unet.requests) == 1


async def test_what_had_begun_ends_as_a_model_that_is_down(serve: Serve) -> None:
    client, (one, two) = await serve("ip2p_unet", 2)
    one.ip2p_unet.hold_at = 1
    begun = asyncio.ensure_future(denoise(client, 3))
    await one.ip2p_unet.held.wait()
    await one.stop()
    with pytest.raises(ModelDown):
        await begun
    assert not two.ip2p_unet.requests
    assert [await denoise(client, 2) for _ in range(3)] == 3 * [[1, 2]]
    assert len(two.ip2p_unet.requests) == 3


async def test_where_one_is_full_the_next_is_used(serve: Serve) -> None:
    client, (one, two) = await serve("vae", 2)
    one.broken["vae"] = BUSY
    assert await client.infer(FACTS, deadline=soon())
    two.broken["vae"] = BUSY
    with pytest.raises(Busy):
        await client.infer(FACTS, deadline=Deadline.after(0.3))


async def test_one_that_is_full_is_waited_for_where_the_others_are_unsuitable(serve: Serve) -> None:
    """As while one has the weights of a request, and the other has newer ones."""
    client, (one, two) = await serve("vae", 2)
    one.broken["vae"] = BUSY
    tried: list[str] = []

    async def operation(lease: Lease) -> str:
        tried.append(lease.endpoint.url)
        if lease.endpoint.url == two.url:
            if tried.count(one.url):
                one.broken.clear()
            raise Unsuitable(ModelDown("other weights"))
        await lease.infer(FACTS, deadline=soon())
        return lease.endpoint.url

    assert await client.run(operation, deadline=soon()) == one.url
    assert two.url in tried and tried.count(one.url) >= 2


async def test_one_that_remembers_is_waited_for_while_it_is_full(serve: Serve) -> None:
    client, (one, two) = await serve("vae", 2)
    affinity = Affinity(pinned=True)
    await client.infer(FACTS, deadline=soon(), affinity=affinity)
    home = affinity.endpoint
    one.broken["vae"] = BUSY
    waiting = asyncio.ensure_future(client.infer(FACTS, deadline=soon(), affinity=affinity))
    while len(one.limits) < 2:  # it was asked
        await asyncio.sleep(0)
    del one.broken["vae"]
    assert await waiting and affinity.endpoint is home
    one.broken["vae"] = GONE
    assert await client.infer(FACTS, deadline=soon(), affinity=affinity)
    assert affinity.endpoint is not home and len(two.limits) == 1


async def test_those_that_wait_go_on_when_an_address_is_added(serve: Serve) -> None:
    client, (one,) = await serve("vae", 1)
    endpoints = client.endpoints
    endpoints.set_addresses([])
    waiting = asyncio.ensure_future(client.infer(FACTS, deadline=soon()))
    await asyncio.sleep(0)
    assert not waiting.done()
    endpoints.set_addresses([one.url])
    assert await waiting


async def test_equal_requests_are_shared_out_evenly(serve: Serve) -> None:
    """200 streams of 5 steps, eight at a time, at three endpoints."""
    client, tritons = await serve("ip2p_unet", 3)
    turn = asyncio.Semaphore(8)

    async def one() -> None:
        async with turn:
            await denoise(client, 5, work=5 * 64)

    await asyncio.gather(*(one() for _ in range(200)))
    counts = [len(triton.ip2p_unet.requests) for triton in tritons]
    assert sum(counts) == 200
    assert max(counts) <= 1.1 * min(counts)
