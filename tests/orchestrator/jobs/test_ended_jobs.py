"""Ended jobs: what the process holds of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from intarsia.errors import EmptyRegion
from orchestrator.runs.run import Run
from orchestrator.stages.memory import Memory
from tests.orchestrator.conftest import LOCAL
from tests.orchestrator.jobs.conftest import Drivers, last


@pytest.mark.parametrize("how", ["fails", "is cancelled", "runs out of time"])
async def test_an_ended_job_holds_nothing_its_work_held(driver: Drivers, how: str) -> None:
    class Pixels:
        pass

    held: list[weakref.ref[Pixels]] = []
    begun = asyncio.Event()

    async def work(request: Any, run: Run, memory: Memory) -> Any:
        pixels = Pixels()
        held.append(weakref.ref(pixels))
        begun.set()
        try:
            if how == "fails":
                raise KeyError(pixels)
            await asyncio.Event().wait()
        except KeyError as error:
            raise EmptyRegion("nothing was found") from error

    jobs = await driver(work)
    job = await jobs.submit(
        LOCAL, "EditRegion", "request", time_limit=0.05 if how == "runs out of time" else None
    )
    await begun.wait()
    if how == "is cancelled":
        await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).failure is not None
    gc.collect()
    assert held[0]() is None
