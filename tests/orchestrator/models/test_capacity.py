"""How many jobs run follows from what the endpoints of a model say, as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from grpc import StatusCode as Code

from intarsia.errors import ModelDown
from orchestrator.deadline import Deadline
from orchestrator.models.capacity import ModelCapacity
from orchestrator.triton.connection import Connections
from orchestrator.triton.endpoints import Endpoints
from orchestrator.triton.stall import StallLimits
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.triton.test_breaker import Clock

NO_LIMIT = Deadline()
UNKNOWN = 8


class Served:
    """A denoiser at several addresses, and the numbers that were seen when they changed."""

    def __init__(self, tritons: list[Triton], clock: Clock, connections: Connections) -> None:
        self.tritons, self.clock = tritons, clock
        self.endpoints = Endpoints(
            "ip2p_unet",
            [triton.url for triton in tritons],
            connections,
            StallLimits(),
            decoupled=True,
            clock=clock,
        )
        self.capacity = ModelCapacity({"EditRegion": self.endpoints})
        self.seen = [self.most]
        self.capacity.watch(lambda: self.seen.append(self.most))

    @property
    def most(self) -> int:
        return self.capacity.most("EditRegion")

    async def read(self) -> None:
        """Reads the facts of every endpoint."""
        for endpoint in self.endpoints.current:
            await endpoint.facts(deadline=NO_LIMIT)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        tritons = [await stack.enter_async_context(Triton()) for _ in range(2)]
        connections = Connections()
        made = Served(tritons, Clock(), connections)
        stack.push_async_callback(connections.close)
        stack.push_async_callback(made.endpoints.close)
        yield made


def full(triton: Triton, full_pass: int, fit: int = 1000, running: int = 64, waiting: int = 256) -> None:
    """Lets its denoiser say what it takes."""
    triton.ip2p_unet.capacity = {"full_pass": full_pass, "fit": fit, "running": running, "waiting": waiting}


async def test_for_each_request_of_a_full_pass_two_jobs_run_at_every_endpoint(served: Served) -> None:
    assert served.most == 0, "jobs wait for the first answer"
    full(served.tritons[0], 12)
    full(served.tritons[1], 20)
    await served.read()
    assert served.most == 24 + 40
    assert served.seen == [0, 24 + UNKNOWN, 24 + 40], "it was told at once"


@pytest.mark.parametrize(
    ("says", "jobs"),
    [
        ({"full_pass": 1}, UNKNOWN),  # company may pay later
        ({"full_pass": 16, "fit": 20}, 20),
        ({"full_pass": 1, "fit": 3}, 3),
        ({"full_pass": 1, "fit": 0}, 1),
        ({"full_pass": 30, "running": 30, "waiting": 10}, 40),
    ],
)
async def test_no_more_jobs_run_than_memory_and_queue_of_the_model_take(
    served: Served, says: dict[str, int], jobs: int
) -> None:
    full(served.tritons[0], **says)
    served.endpoints.set_addresses([served.tritons[0].url])
    await served.read()
    assert served.most == jobs


async def test_clips_follow_the_facts_of_the_model_that_tracks(served: Served) -> None:
    sam = Endpoints(
        "sam", [triton.url for triton in served.tritons], Connections(), StallLimits(), clock=served.clock
    )
    capacity = ModelCapacity({"TrackRegion": sam})
    for triton, endpoint in zip(served.tritons, sam.current, strict=True):
        triton.sam.clips = 3
        await endpoint.facts(deadline=NO_LIMIT)
    assert capacity.most("TrackRegion") == 6
    await sam.close()


async def test_an_endpoint_that_goes_or_fails_takes_its_number_along(served: Served) -> None:
    first, second = served.tritons
    full(first, 12)
    full(second, 20)
    await served.read()
    served.endpoints.set_addresses([second.url])
    assert served.most == served.seen[-1] == 40
    served.endpoints.set_addresses([first.url, second.url])
    assert served.most == 40 + UNKNOWN, "the first is new, and has said nothing yet"
    await served.read()
    assert served.most == 64

    first.broken["ip2p_unet"] = Refused("gone", Code.UNAVAILABLE)
    failed, other = (
        next(one for one in served.endpoints.current if one.url == triton.url) for triton in (first, second)
    )
    failed.forget_facts()
    with pytest.raises(ModelDown):
        await failed.facts(deadline=NO_LIMIT)
    assert served.most == served.seen[-1] == 40
    other.fail(ModelDown("gone too"))
    assert served.most == served.seen[-1] == 64, "jobs that start now wait, as many as ran before"

    del first.broken["ip2p_unet"]
    full(first, 5)  # it comes back with less memory
    await failed.facts(deadline=NO_LIMIT)
    assert served.most == served.seen[-1] == 10


async def test_facts_that_change_are_read_again_after_a_while(served: Served) -> None:
    for triton in served.tritons:
        full(triton, 4)
    await served.read()
    assert served.most == 16
    for triton in served.tritons:
        full(triton, 16)
    await served.read()
    assert served.most == 16, "they are kept for a while"
    served.clock.now += 11
    await served.read()
    assert served.most == 64
