"""Orchestrators as processes that are killed, frozen, woken and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.leftovers import Started
from deploy.local.ports import choose_ports
from deploy.local.process import ChildProcess

_SERVE_SECONDS = 300.0  # a machine under load, and models that are loading too


class OrchestratorProcess:
    """One orchestrator, which keeps its port from start to start.

    What each of its processes had started and mapped is remembered in `started`, so that anything that
    outlives it can be found.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` is for its log; `environment` has the settings that make it serve."""
        port, metrics = choose_ports([0, 0])
        self.address = f"127.0.0.1:{port}"
        self.log = folder / f"orchestrator-{port}.log"
        self.started: list[Started] = []
        self._ready = folder / f"orchestrator-{port}.json"
        self._environment = {
            **os.environ,
            "INTARSIA_LISTEN": self.address,
            "INTARSIA_METRICS_LISTEN": f"127.0.0.1:{metrics}",
            "INTARSIA_READY_FILE": str(self._ready),
            **environment,
        }
        self._child: ChildProcess | None = None

    def start(self) -> None:
        """Starts a process, and does not wait for it."""
        self._ready.unlink(missing_ok=True)
        self._child = ChildProcess(
            [sys.executable, "-m", "orchestrator"], environment=self._environment, log=self.log
        )

    async def serving(self) -> None:
        """Returns once it has seen all models; raises RuntimeError if it ended instead."""
        await asyncio.wait_for(self._wait_until_ready(), _SERVE_SECONDS)

    async def _wait_until_ready(self) -> None:
        while not self._ready.exists():
            if (code := self._running.exit_code) is not None:
                raise RuntimeError(f"an orchestrator ended with {code}:\n{self._running.log_tail()}")
            await asyncio.sleep(0.02)  # a file has no event to wait for

    def kill(self) -> None:
        """Ends the process by SIGKILL, wherever it is."""
        self.started.append(Started.by(self._running.pid))
        self._signal(signal.SIGKILL)
        self._running.stop(grace=_SERVE_SECONDS)

    def freeze(self) -> None:
        """Stops the process by SIGSTOP, wherever it is."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Lets a frozen process go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends the process by SIGTERM, as `intarsia up` does."""
        if self._child is not None and self._child.exit_code is None:
            self.started.append(Started.by(self._child.pid))
            self._signal(signal.SIGCONT)
            self._child.stop(grace=_SERVE_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self._running.pid, number)

    @property
    def _running(self) -> ChildProcess:
        if self._child is None:
            raise RuntimeError("the orchestrator was not started")
        return self._child
