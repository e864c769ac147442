"""Jobs as their clients see them: submitted, followed to their end, and asked for again."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.kill_jobs.clients import Clients
from benchmarks.kill_jobs.load import with_id
from intarsia.requests import Request
from intarsia.results import JobStatus

_WATCH_SECONDS = 20.0  # then another orchestrator is asked: this one may be frozen


@dataclass
class JobRecord:
    """One job: the number of its request, and what its client was told."""

    number: int
    request_id: str
    names: set[str] = field(default_factory=set)  # as many as one, if a repeated id gives its first job
    end: JobStatus[Any] | None = None  # its first final state


class JobRecords:
    """Carries out requests as jobs, several at a time, and records what becomes of each."""

    def __init__(self, clients: Clients, at_once: int, seed: int) -> None:
        self.records: list[JobRecord] = []
        self._clients, self._places, self._random = clients, asyncio.Semaphore(at_once), random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []

    async def submit(self, number: int, request: Request) -> None:
        """Returns once the job has a place; it is followed beside the caller."""
        await self._places.acquire()
        record = JobRecord(number, str(uuid.UUID(int=self._random.getrandbits(128), version=4)))
        self.records.append(record)
        self._tasks.append(asyncio.ensure_future(self._follow(record, with_id(request, record.request_id))))

    async def ended(self) -> None:
        """Returns when every job has ended; raises the error of the first whose client met one."""
        await asyncio.gather(*self._tasks)

    async def submit_in_turns(self, requests: list[Request], stop: asyncio.Event) -> None:
        """Submits them all, and again from the first until `stop` is set; returns when every job ended."""
        for turn, (number, request) in enumerate(_in_turns(requests)):
            if turn >= len(requests) and stop.is_set():
                break
            await self.submit(number, request)
        await self.ended()

    async def _follow(self, record: JobRecord, request: Request) -> None:
        try:
            name = (await self._clients.call(lambda client: client.start(request))).name
            record.names.add(name)
            record.end = await self._clients.call(lambda client: client.wait(name, _WATCH_SECONDS))
            record.names.add((await self._clients.call(lambda client: client.start(request))).name)
        finally:
            self._places.release()


def _in_turns(requests: list[Request]) -> Iterator[tuple[int, Request]]:
    while True:
        yield from enumerate(requests)
