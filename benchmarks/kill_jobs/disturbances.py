"""Kills and freezes at random moments, and the return of what was killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.kill_jobs.orchestrators import OrchestratorProcess
from benchmarks.leftovers import Started
from deploy.local.model_server import ModelServer
from deploy.local.triton import StartError

# Most moments are in the middle of work; one in so many is while what was killed is still starting.
_WHILE_STARTING = 6
_LOOK_SECONDS = 0.05


class Disturbances:
    """What can happen to one orchestrator, and to the model server that it uses."""

    def __init__(
        self, orchestrator: OrchestratorProcess, server: ModelServer, *, lease: float, pause: float, seed: int
    ) -> None:
        """`pause` is the most seconds between the return of everything and what happens next."""
        self._orchestrator, self._server, self._lease, self._pause = orchestrator, server, lease, pause
        self._random = random.Random(seed)
        self.servers: list[Started] = []  # as they were when they were killed
        self.counts: Counter[str] = Counter()
        self.ways: dict[str, Callable[[], Awaitable[None]]] = {
            "orchestrator": self._kill_orchestrator,
            "triton": self._kill_triton,
            "both": self._kill_both,
            "freeze": self._freeze,
        }

    async def disturb(self, ways: Sequence[str]) -> None:
        """Lets everything in `ways` happen, in this order, and returns when all is back."""
        for way in ways:
            if self._random.randrange(_WHILE_STARTING):
                await self._back()
                await asyncio.sleep(self._random.uniform(0, self._pause))
            self.counts[way] += 1
            await self.ways[way]()
        await self._back()

    async def _back(self) -> None:
        await asyncio.to_thread(self._wait_for_models)
        await self._orchestrator.serving()

    async def _kill_orchestrator(self) -> None:
        self._orchestrator.kill()
        # Sometimes it is back before anybody can notice, sometimes after its lease ran out.
        await asyncio.sleep(self._random.uniform(0, 1.5 * self._lease))
        self._orchestrator.start()

    async def _kill_triton(self) -> None:
        pid = self._server.triton.pid
        self.servers.append(Started.by(pid))
        os.kill(pid, signal.SIGKILL)
        while self._server.triton.pid == pid:  # until its supervisor has seen it
            await asyncio.sleep(_LOOK_SECONDS)

    async def _kill_both(self) -> None:
        self._orchestrator.kill()
        await self._kill_triton()
        self._orchestrator.start()

    async def _freeze(self) -> None:
        self._orchestrator.freeze()
        await asyncio.sleep(self._lease * self._random.uniform(1.2, 2.0))
        self._orchestrator.wake()

    def _wait_for_models(self) -> None:
        while True:
            try:
                return self._server.triton.wait_ready()
            except StartError:  # it was killed while it loaded; its supervisor starts it once more
                time.sleep(_LOOK_SECONDS)
