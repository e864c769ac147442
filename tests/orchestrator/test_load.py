"""How many jobs an orchestrator runs at a time, by what its models say and by memory."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from prometheus_client import REGISTRY

from intarsia.v1 import jobs_pb2 as jb
from orchestrator.app import Orchestrator
from orchestrator.jobs.job import State
from tests.orchestrator.conftest import LOCAL, Client, Start, click, png
from tests.orchestrator.doubles.triton import Triton


async def submitted(client: Client, picture: np.ndarray, count: int) -> list[str]:
    """The names of so many equal edits."""
    name = await client.upload(png(picture))
    return [(await client.edit(click(name))).name for _ in range(count)]


async def running(orchestrator: Orchestrator, names: list[str]) -> int:
    jobs = [await orchestrator.jobs.get(LOCAL, name) for name in names]
    return sum(job.state is State.RUNNING for job in jobs)


async def run_at_a_time(orchestrator: Orchestrator, names: list[str], most: int) -> None:
    """Returns when so many run; fails if that is not the case in time, or if there are more."""
    until = time.monotonic() + 20
    while (count := await running(orchestrator, names)) < most and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert count == most


async def all_succeed(client: Client, triton: Triton, names: list[str]) -> None:
    triton.ip2p_unet.hold_at = None
    triton.ip2p_unet.go_on.set()
    ends = await asyncio.gather(*(client.finished(name) for name in names))
    assert {job.state for job in ends} == {jb.Job.STATE_SUCCEEDED}


@pytest.mark.parametrize(("full_pass", "most"), [(8, 16), (1, 8), (50, 20)])
async def test_as_many_jobs_run_as_the_denoiser_says_it_takes(
    start: Start, triton: Triton, picture: np.ndarray, full_pass: int, most: int
) -> None:
    triton.ip2p_unet.hold_at = 0
    triton.ip2p_unet.capacity |= {"full_pass": full_pass, "fit": 20}
    orchestrator, client = await start()
    await orchestrator.wait_until_ready()
    names = await submitted(client, picture, 24)
    await run_at_a_time(orchestrator, names, most)
    limit = REGISTRY.get_sample_value("intarsia_jobs_limit", {"method": "EditRegion"})
    assert limit == most
    await all_succeed(client, triton, names)


async def test_the_number_grows_with_the_facts_while_jobs_run(
    start: Start, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.triton.endpoint._FACTS_KEPT_SECONDS", 0.0)
    triton.ip2p_unet.hold_at = 0
    triton.ip2p_unet.capacity |= {"full_pass": 1}
    orchestrator, client = await start()
    await orchestrator.wait_until_ready()
    names = await submitted(client, picture, 12)
    await run_at_a_time(orchestrator, names, 8)
    triton.ip2p_unet.capacity |= {"full_pass": 6}
    names += await submitted(client, picture, 1)  # the facts are read when a job comes in
    await run_at_a_time(orchestrator, names, 12)
    await all_succeed(client, triton, names)


@pytest.mark.parametrize(
    ("setting", "value", "most"),
    [
        ("INTARSIA_JOBS_MEMORY_MEGABYTES", "1", 1),  # those that do not fit beside each other
        ("INTARSIA_JOBS_RUNNING", "3", 3),
    ],
)
async def test_a_limit_that_was_set_is_not_exceeded(
    start: Start, triton: Triton, picture: np.ndarray, setting: str, value: str, most: int
) -> None:
    triton.ip2p_unet.hold_at = 0
    orchestrator, client = await start(**{setting: value})
    await orchestrator.wait_until_ready()
    names = await submitted(client, picture, 5)
    await run_at_a_time(orchestrator, names, most)
    await all_succeed(client, triton, names)
