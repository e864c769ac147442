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
_MOST_EXITS = 10  # of one orchestrator by itself; more have one cause, and the run would never end


class OrchestratorProcess:
    """One orchestrator, which keeps its port from start to start.

    What each of its processes had started and mapped is remembered in `started`, so that anything that
    outlives it can be found. `exits` has a line for each process that ended though nothing had ended it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` is for its log; `environment` has the settings that make it serve."""
        port, metrics = choose_ports([0, 0])
        self.address = f"127.0.0.1:{port}"
        self.log = folder / f"orchestrator-{port}.log"
        self.started: list[Started] = []
        self.exits: list[str] = []
        self._ready = folder / f"orchestrator-{port}.json"
        self._environment = {
            **os.environ,
            "INTARSIA_LISTEN": self.address,
            "INTARSIA_METRICS_LISTEN": f"127.0.0.1:{metrics}",
            "INTARSIA_READY_FILE": str(self._ready),
            "PYTHONFAULTHANDLER": "1",  # the log names the line of a crash
            **environment,
        }
        self._child: ChildProcess | None = None

    def start(self) -> None:
        """Starts a process, and does not wait for it."""
        self._ready.unlink(missing_ok=True)
        self._child = ChildProcess(
            [sys.executable, "-m", "orchestrator"], environment=self._environment, log=self.log
        )

    def check(self) -> None:
        """Starts a process that ended by itself again, and notes it; raises RuntimeError if that goes on."""
        if self._child is None or (code := self._child.exit_code) is None:
            return
        self._note(code)
        if len(self.exits) > _MOST_EXITS:
            raise RuntimeError(f"an {self.exits[-1]}")
        self.start()

    async def serving(self) -> None:
        """Returns once it has seen all models."""
        await asyncio.wait_for(self._wait_until_ready(), _SERVE_SECONDS)

    async def _wait_until_ready(self) -> None:
        self.check()
        while not self._ready.exists():
            await asyncio.sleep(0.02)  # a file has no event to wait for
            self.check()

    def kill(self) -> None:
        """Ends the process by SIGKILL, wherever it is."""
        self.check()
        self.started.append(Started.by(self.pid))
        self._signal(signal.SIGKILL)
        self._running.stop(grace=_SERVE_SECONDS)
        self._child = None

    def freeze(self) -> None:
        """Stops the process by SIGSTOP, wherever it is."""
        self.check()
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Lets a frozen process go on."""
        self.check()
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends the process by SIGTERM, as `intarsia up` does."""
        if self._child is None:
            return
        if self._child.exit_code is None:
            self.started.append(Started.by(self.pid))
            self._signal(signal.SIGCONT)
        if code := self._child.stop(grace=_SERVE_SECONDS):
            self._note(code)
        self._child = None

    @property
    def pid(self) -> int:
        """The process that is there now."""
        return self._running.pid

    def _note(self, code: int) -> None:
        self.exits.append(f"orchestrator at {self.address} ended with {code}:\n{self._running.log_tail()}")

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def _running(self) -> ChildProcess:
        if self._child is None:
            raise RuntimeError("the orchestrator was not started")
        return self._child
