"""Which endpoint of a model gets the next request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack

import pytest
from grpc import StatusCode as Code
from prometheus_client import REGISTRY

from intarsia.errors import ModelDown, TimeLimit
from orchestrator.deadline import Deadline
from orchestrator.triton import tensors
from orchestrator.triton.breaker import BreakerState
from orchestrator.triton.connection import Connections
from orchestrator.triton.endpoints import Affinity, Endpoints
from orchestrator.triton.stall import StallLimits
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.doubles.vae import Vae
from tests.orchestrator.triton.test_breaker import Clock

FACTS = {"ask": tensors.text("facts")}
SOON = Deadline.after

Serve = Callable[[int], Awaitable[tuple[Endpoints, list[Triton]]]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def serve(clock: Clock) -> AsyncIterator[Serve]:
    """Serves the model `vae` so many times."""
    async with AsyncExitStack() as stack:

        async def served(count: int) -> tuple[Endpoints, list[Triton]]:
            tritons = [await stack.enter_async_context(Triton()) for _ in range(count)]
            connections = Connections()
            endpoints = Endpoints(
                "vae", [one.url for one in tritons], connections, StallLimits(), clock=clock
            )
            stack.push_async_callback(connections.close)
            stack.push_async_callback(endpoints.close)
            return endpoints, tritons

        yield served


class Gated(Vae):
    """A VAE that says when a request has reached it, and waits before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def answer(self, inputs: tensors.Tensors) -> AsyncIterator[tensors.Tensors]:
        self.reached.set()
        await self.go_on.wait()
        async for reply in super().answer(inputs):
            yield reply


def chosen(endpoints: Endpoints, work: float = 1.0, affinity: Affinity | None = None) -> str:
    with endpoints.lease(work=work, affinity=affinity) as lease:
        return lease.endpoint.url


async def fail(endpoints: Endpoints, triton: Triton) -> None:
    """Lets a request fail at a server."""
    triton.broken["vae"] = Refused("MODEL_DOWN: it is being loaded anew", Code.UNAVAILABLE)
    (endpoint,) = [one for one in endpoints.current if one.url == triton.url]
    with pytest.raises(ModelDown):
        await endpoint.infer(FACTS, deadline=SOON(30))


def breaker_metric(triton: Triton) -> float | None:
    return REGISTRY.get_sample_value("intarsia_model_breaker", {"model": "vae", "endpoint": triton.url})


async def settled(endpoints: Endpoints) -> None:
    """Returns after the last probe."""
    await endpoints.probed(SOON(30), avoid=set(endpoints.current))


async def test_the_one_with_the_least_unfinished_work_is_chosen(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    with ExitStack() as stack:
        large = stack.enter_context(endpoints.lease(work=900.0))
        small = [stack.enter_context(endpoints.lease(work=100.0)) for _ in range(8)]
        assert large.endpoint.url == one.url
        assert {lease.endpoint.url for lease in small} == {two.url}
        large.progress(8, 10)
        assert large.endpoint.unfinished == pytest.approx(180)
        assert chosen(endpoints) == one.url
    assert [endpoint.unfinished for endpoint in endpoints.current] == [0, 0]


async def test_those_with_equally_little_work_take_turns(serve: Serve) -> None:
    endpoints, tritons = await serve(3)
    urls = [triton.url for triton in tritons]
    assert [chosen(endpoints) for _ in range(6)] == 2 * urls


async def test_what_is_no_work_takes_no_turn(serve: Serve) -> None:
    """Else facts would always be read at one endpoint, and work be done at the other."""
    endpoints, (one, two) = await serve(2)
    found = []
    for _ in range(4):
        chosen(endpoints, work=0.0)
        found.append(chosen(endpoints))
    assert found == [one.url, two.url, one.url, two.url]


async def test_what_belongs_together_stays_at_one_endpoint(serve: Serve) -> None:
    endpoints, tritons = await serve(3)
    affinity = Affinity()
    first = chosen(endpoints, affinity=affinity)
    chosen(endpoints)
    assert {chosen(endpoints, affinity=affinity) for _ in range(5)} == {first}
    await fail(endpoints, tritons[0])
    second = chosen(endpoints, affinity=affinity)
    assert second != first
    assert {chosen(endpoints, affinity=affinity) for _ in range(5)} == {second}


async def test_one_that_failed_gets_nothing_until_a_probe_succeeds(serve: Serve, clock: Clock) -> None:
    endpoints, (one, two) = await serve(2)
    first = endpoints.current[0]
    with endpoints.lease(affinity=Affinity(first)):  # what it has begun does not keep it in use
        await fail(endpoints, one)
        assert {chosen(endpoints) for _ in range(4)} == {two.url}
    await settled(endpoints)
    assert first.breaker.state is BreakerState.OPEN
    assert {chosen(endpoints) for _ in range(4)} == {two.url}
    del one.broken["vae"]
    assert chosen(endpoints) == two.url
    await settled(endpoints)
    assert first.breaker.state is BreakerState.OPEN, "no probe before the pause is over"
    clock.now += 0.2
    assert chosen(endpoints) == two.url, "requests do not wait for the probe"
    assert first.breaker.state is BreakerState.HALF_OPEN
    await settled(endpoints)
    assert first.breaker.state is BreakerState.CLOSED
    assert {chosen(endpoints) for _ in range(2)} == {one.url, two.url}


class Silent:
    """A model that never answers."""

    async def answer(self, inputs: tensors.Tensors) -> AsyncIterator[tensors.Tensors]:
        await asyncio.Event().wait()
        yield {}


async def test_one_that_answers_its_probe_is_used_before_the_other_probes_end(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    for triton in (one, two):
        await fail(endpoints, triton)
        del triton.broken["vae"]
    two.vae = Silent()  # type: ignore[assignment]
    with pytest.raises(ModelDown):
        chosen(endpoints)
    assert await endpoints.probed(SOON(10))
    assert chosen(endpoints) == one.url
    with pytest.raises(TimeLimit):
        await endpoints.probed(SOON(0.1), avoid={endpoints.current[0]})


async def test_a_model_that_refuses_a_probe_is_there(serve: Serve) -> None:
    endpoints, (one,) = await serve(1)
    await fail(endpoints, one)
    one.broken["vae"] = Refused("BUSY: no memory", Code.UNAVAILABLE)
    with pytest.raises(ModelDown, match="being loaded anew"):
        chosen(endpoints)
    assert await endpoints.probed(SOON(30))
    assert chosen(endpoints) == one.url


async def test_one_that_failed_has_forgotten_what_it_was_sent(serve: Serve) -> None:
    endpoints, (one,) = await serve(1)
    (endpoint,) = endpoints.current
    endpoint.known.add(b"picture")
    facts = await endpoint.facts(deadline=SOON(30))
    assert await endpoint.facts(deadline=SOON(30)) is facts
    await fail(endpoints, one)
    assert b"picture" not in endpoint.known
    del one.broken["vae"]
    assert await endpoint.facts(deadline=SOON(30)) is not facts


async def test_addresses_may_change_at_run_time(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    async with Triton() as three:
        became_available = asyncio.Event()
        endpoints.on_available = became_available.set
        endpoints.set_addresses([two.url, three.url])
        assert became_available.is_set()
        assert {chosen(endpoints) for _ in range(4)} == {two.url, three.url}
        endpoints.set_addresses([])
        with pytest.raises(ModelDown, match="no address is configured for vae"):
            chosen(endpoints)
        endpoints.set_addresses([one.url])
        assert chosen(endpoints) == one.url


async def test_a_removed_endpoint_finishes_what_it_has(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    affinity = Affinity()
    with endpoints.lease(affinity=affinity) as lease:
        assert lease.endpoint.url == one.url
        endpoints.set_addresses([two.url])
        assert {chosen(endpoints) for _ in range(4)} == {two.url}
        assert chosen(endpoints, affinity=affinity) == one.url
        assert "facts" in await lease.infer(FACTS, deadline=SOON(30))
    assert chosen(endpoints, affinity=affinity) == two.url
    assert breaker_metric(one) is None, "its connection is closed"


async def test_one_that_comes_back_to_the_list_is_the_same(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    with endpoints.lease() as lease:
        endpoints.set_addresses([two.url])
        endpoints.set_addresses([two.url, one.url])
        assert lease.endpoint in endpoints.current
    assert {chosen(endpoints) for _ in range(4)} == {one.url, two.url}


async def test_each_endpoint_is_seen_in_the_metrics(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    await endpoints.current[1].infer(FACTS, deadline=SOON(30))
    await fail(endpoints, one)
    at_one = {"model": "vae", "endpoint": one.url}
    assert REGISTRY.get_sample_value("intarsia_model_requests_open", at_one) == 0
    assert [breaker_metric(triton) for triton in (one, two)] == [1, 0]
    endpoints.set_addresses([one.url])
    assert [breaker_metric(triton) for triton in (one, two)] == [1, None]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_probe_of_a_removed_endpoint_brings_no_metric_back(serve: Serve, begun: bool) -> None:
    endpoints, (one,) = await serve(1)
    await fail(endpoints, one)
    del one.broken["vae"]
    one.vae = gated = Gated()
    with pytest.raises(ModelDown):
        chosen(endpoints)
    if begun:
        await asyncio.wait_for(gated.reached.wait(), 10)
    assert breaker_metric(one) == 1
    endpoints.set_addresses([])
    gated.go_on.set()
    await settled(endpoints)
    at_one = {"model": "vae", "endpoint": one.url}
    assert breaker_metric(one) is None
    assert REGISTRY.get_sample_value("intarsia_model_requests_open", at_one) is None


async def test_an_older_request_that_fails_starts_no_second_probe(serve: Serve) -> None:
    endpoints, (one,) = await serve(1)
    await fail(endpoints, one)
    working, one.vae = one.vae, (gated := Gated())
    del one.broken["vae"]
    with pytest.raises(ModelDown):
        chosen(endpoints)
    await asyncio.wait_for(gated.reached.wait(), 10)
    await fail(endpoints, one)
    assert breaker_metric(one) == 1, "the probe is still under way"
    del one.broken["vae"]
    one.vae = working
    gated.go_on.set()
    await settled(endpoints)
    assert breaker_metric(one) == 0


async def test_those_with_nearly_as_little_work_receive_equally_much(serve: Serve) -> None:
    """Whichever is a little behind in a burst: what a faster one has done does not bring it more."""
    endpoints, (one, two) = await serve(2)
    with ExitStack() as stack:
        leases = [stack.enter_context(endpoints.lease(work=100.0)) for _ in range(6)]
        assert [lease.endpoint.url for lease in leases] == 3 * [one.url, two.url]
        for lease in leases[::2]:
            lease.progress(1, 4)
        found = [stack.enter_context(endpoints.lease(work=100.0)).endpoint.url for _ in range(4)]
        assert found == 2 * [one.url, two.url]
        for lease in leases[::2]:
            lease.progress(4, 4)
        found = [stack.enter_context(endpoints.lease(work=100.0)).endpoint.url for _ in range(2)]
        assert found == 2 * [one.url], "which has less than two thirds of the work of the other"


async def test_one_that_joins_takes_its_turn_and_no_more(serve: Serve) -> None:
    endpoints, (one, two) = await serve(2)
    endpoints.set_addresses([one.url])
    for _ in range(50):
        chosen(endpoints, work=1000.0)
    endpoints.set_addresses([one.url, two.url])
    found = [chosen(endpoints) for _ in range(8)]
    assert found.count(two.url) == 4
