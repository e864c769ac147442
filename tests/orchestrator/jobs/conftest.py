"""A driver of jobs in memory, and work that begins, waits and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from orchestrator.caller import Caller
from orchestrator.jobs.job import Job, State
from orchestrator.jobs.memory import JobLimits, MemoryJobs
from orchestrator.jobs.queue import JobQueue
from orchestrator.runs.run import Run
from tests.orchestrator.conftest import LOCAL

OTHER = Caller("other")
ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


class Numbers:
    """A capacity that can be set, by method."""

    def __init__(self, **most: int) -> None:
        self.jobs = most
        self.changed: Callable[[], None] = lambda: None

    def most(self, method: str) -> int:
        return self.jobs.get(method, 100)

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed


class Work:
    """A recipe that begins, waits to be let go, and answers its request."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Any] = asyncio.Queue()
        self.let_go = asyncio.Event()
        self.stopped: list[Any] = []

    async def __call__(self, request: Any, run: Run) -> Any:
        self.begun.put_nowait(request)
        try:
            with run.stage("denoise"):
                await self.let_go.wait()
        except asyncio.CancelledError:
            self.stopped.append(request)
            raise
        return request


Recipe = Callable[[Any, Run], Awaitable[Any]]
Driver = Callable[..., MemoryJobs]


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """Makes drivers, and sees that nothing of theirs outlives the test."""
    made = []

    def make(recipe: Recipe, running: Numbers | int = 4, memory: float = inf, **limits: Any) -> MemoryJobs:
        recipes = {"EditRegion": recipe, "TrackRegion": recipe}
        capacity = Numbers(**dict.fromkeys(recipes, running)) if isinstance(running, int) else running
        queue = JobQueue(capacity, recipes, memory=memory)
        made.append(MemoryJobs(recipes, replace(JobLimits(), **limits), queue))
        return made[-1]

    yield make
    for jobs in made:
        await jobs.drain(0)


async def last(jobs: MemoryJobs, name: str) -> Job:
    *_, final = [job async for job in jobs.watch(LOCAL, name)]
    return final


async def states(jobs: MemoryJobs, names: list[str]) -> list[State]:
    return [(await jobs.get(LOCAL, name)).state for name in names]
