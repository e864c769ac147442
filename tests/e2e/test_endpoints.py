"""A denoiser that is served by two and three real Tritons: work is shared out, and one may die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import intarsia
from deploy.local.model_server import ModelServer
from deploy.local.ports import choose_ports
from deploy.local.stack import Stack
from deploy.local.triton import Triton, TritonSettings
from orchestrator.app import Orchestrator
from orchestrator.deadline import Deadline
from orchestrator.models.adapters import AdapterUploads
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient
from orchestrator.models.denoiser import Denoiser, FillConditioning
from orchestrator.models.registry import MODELS
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.settings import Settings
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from store.disk import DiskStore
from tests.e2e.conftest import THREADS
from tests.e2e.triton import figure
from tests.e2e.waiting import PATIENCE, WHERE, photo, until

MODEL = "sd2_inpaint"


@pytest.fixture(scope="module")
def servers(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ModelServer]]:
    """Two that serve nothing but the denoiser, and are not watched."""
    ports = choose_ports([0] * 4)
    started = [
        ModelServer(
            TritonSettings(
                work=tmp_path_factory.mktemp("triton"),
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                models=[MODEL],
                weights=weights,
                threads=THREADS,
                environment={"INTARSIA_MEMORY_SHARE": "0.1"},
            )
        )
        for grpc_port, metrics_port in (ports[:2], ports[2:])
    ]
    try:
        for server in started:
            server.start()
        for server in started:
            server.wait_alive()
        yield started
    finally:
        for server in started:
            server.stop()


@pytest.fixture(scope="module")
def tritons(stack: Stack, servers: list[ModelServer]) -> list[Triton]:
    """That of the stack, and those of the two."""
    return [stack.triton, *(server.triton for server in servers)]


Start = Callable[[list[Triton]], Awaitable[intarsia.AsyncClient]]


@pytest.fixture
async def start(stack: Stack, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts an orchestrator that uses these servers for the denoiser."""
    async with AsyncExitStack() as running:

        async def started(tritons: list[Triton]) -> intarsia.AsyncClient:
            orchestrator = Orchestrator(
                Settings.read(
                    {
                        "INTARSIA_LISTEN": "127.0.0.1:0",
                        "INTARSIA_TRITON": stack.triton.url,
                        "INTARSIA_TRITON_SD2_INPAINT": ",".join(triton.url for triton in tritons),
                        "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts"),
                        "INTARSIA_JOBS_MEMORY_MEGABYTES": "4000",  # whatever else runs here
                    },
                    MODELS,
                )
            )
            port = await orchestrator.start()
            running.push_async_callback(orchestrator.stop, 0)
            await orchestrator.wait_until_ready()
            return await running.enter_async_context(intarsia.AsyncClient(f"127.0.0.1:{port}"))

        yield started


async def fill(client: intarsia.AsyncClient, seed: int, steps: int, **more) -> intarsia.AsyncJob:
    where = intarsia.rectangle(*WHERE)
    return await client.fill_region(photo(), where, seed=seed, steps=steps, **more)


async def stepping(job: intarsia.AsyncJob) -> None:
    """Returns once a step of the job was reported."""
    async for status in job.watch(timeout=PATIENCE):
        if status.progress.stage == "denoise" and status.progress.step:
            return
    raise AssertionError("the job was over before it could be disturbed")


def steps_at(triton: Triton) -> float:
    """How many steps its trajectories have taken in all."""
    return figure(triton.metrics_url, "intarsia_engine_trajectory_steps", model=MODEL)


def has_taken(triton: Triton, steps: float) -> bool:
    return steps_at(triton) >= steps


def running_at(triton: Triton) -> float:
    return figure(triton.metrics_url, "intarsia_engine_running", model=MODEL)


async def test_fills_with_an_adapter_succeed_at_both_endpoints(
    tritons: list[Triton], start: Start, weights: Path
):
    from services.bundles.bundle import Bundle
    from training.tiny.adapters import lora

    client = await start(tritons[:2])
    style = lora(Bundle.open(weights / MODEL).network("unet"), 21).numpy().tobytes()
    before = [steps_at(triton) for triton in tritons]
    # Long enough that the first still runs when the last one comes.
    jobs = [await fill(client, seed, 60, adapters=[style]) for seed in range(4)]
    assert all([(await job.result(timeout=PATIENCE)).picture for job in jobs])
    # A step is counted after its reply has left; a probe, as each gets when it is started, is a step too.
    for triton, old in zip(tritons[:2], before, strict=False):
        await asyncio.to_thread(until, partial(has_taken, triton, old + 2 * 60), PATIENCE)
    assert steps_at(tritons[2]) - before[2] <= 1


async def test_more_small_fills_run_at_once_than_a_constant_would_let(tritons: list[Triton], start: Start):
    """Two endpoints take at least eight each, whatever their passes cost here."""
    client = await start(tritons[:2])
    jobs = await asyncio.gather(*(fill(client, seed, 900) for seed in range(16)))
    await asyncio.gather(*(stepping(job) for job in jobs))
    await asyncio.to_thread(until, lambda: sum(map(running_at, tritons[:2])) >= 16, PATIENCE)
    for job in jobs:
        await job.cancel()
    await asyncio.gather(*(job.wait(timeout=PATIENCE) for job in jobs))


async def test_equal_work_is_shared_out_evenly(tritons: list[Triton], weights: Path, tmp_path: Path):
    """200 equal fills, eight at a time, at the two that no supervisor probes: the busiest takes at most 1.1
    times the steps of the least busy. Where another process takes the processor from one of them, that one
    gets less, and the round counts for nothing; a choice that is uneven by itself is so in every round."""
    from services.bundles.bundle import Bundle

    tritons = tritons[1:]
    models = Models({MODEL: [triton.url for triton in tritons]}, StallLimits(), decoupled=[MODEL])
    client = ModelClient(models[MODEL], ModelQueue(WaitLimits()), fields={})
    run = Run(Deadline.after(PATIENCE))
    denoiser = Denoiser(client, run, AdapterUploads(client, run, DiskStore(tmp_path)))
    text = np.zeros((6, Bundle.open(weights / MODEL).config("unet")["cross_attention_dim"]), np.float32)
    latents, hole = np.zeros((4, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    conditioning = FillConditioning(latents, latents, hole, text, text)
    loaded = WeightsRef((await client.facts())["weights"])
    sampling, turn = ResolvedSampling(1, 2, {"text": 7.5}, "ddim", False), asyncio.Semaphore(8)

    async def one() -> None:
        async with turn:
            with run.stage("denoise", of=200) as work:
                await denoiser.denoise(conditioning, sampling, work, loaded)

    async def most_over_least() -> float:
        """The steps of the busiest over those of the least busy, of 200 fills."""
        before = [steps_at(triton) for triton in tritons]
        wanted = sum(before) + 200 * sampling.steps  # a step is counted after its reply has left
        await asyncio.gather(*(one() for _ in range(200)))
        await asyncio.to_thread(until, lambda: sum(map(steps_at, tritons)) >= wanted, PATIENCE)
        taken = [steps_at(triton) - steps for triton, steps in zip(tritons, before, strict=True)]
        return max(taken) / min(taken)

    rounds = [await most_over_least()]
    while rounds[-1] > 1.1 and len(rounds) < 5:
        rounds.append(await most_over_least())
    assert rounds[-1] <= 1.1, rounds


async def test_what_had_begun_at_one_that_dies_goes_on_at_the_others(
    tritons: list[Triton], servers: list[ModelServer], start: Start
):
    """And its supervisor starts it again, without the others."""
    client = await start(tritons)
    dying, others = tritons[2], tritons[:2]
    begun = [await fill(client, seed, 900, working_size=256) for seed in range(3)]
    await asyncio.gather(*(stepping(job) for job in begun))
    assert all(running_at(triton) >= 1 for triton in tritons)
    os.killpg(dying.pid, signal.SIGSTOP)  # it takes requests, and begins none
    waiting = [await fill(client, seed, 900, working_size=256) for seed in range(3)]
    await asyncio.to_thread(until, lambda: sum(map(running_at, others)) >= 4, PATIENCE)
    os.killpg(dying.pid, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: sum(map(running_at, others)) >= 6, PATIENCE)
    for job in (*begun, *waiting):
        assert (await job.get()).state == "running"
        await job.cancel()

    dead, alive = dying.pid, [triton.pid for triton in others]
    await asyncio.to_thread(servers[1].supervisor.check)
    assert dying.pid != dead and [triton.pid for triton in others] == alive
    assert [server.supervisor.repairs for server in servers] == [0, 1]
    for seed in range(9):  # the first of them finds out that it is back
        await (await fill(client, seed, 2)).result(timeout=PATIENCE)
    await asyncio.to_thread(until, lambda: steps_at(dying) >= 2, PATIENCE)
