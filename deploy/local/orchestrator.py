"""The orchestrator's process: started, watched, started again when it ends or is stuck, and stopped.

Jobs survive its end: the next one goes on with them by the ledger.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.loopback import OPTIONS
from deploy.local.process import ChildProcess
from deploy.local.triton import StartError

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "orchestrator")


@dataclass(frozen=True)
class WatchLimits:
    """The intervals and the limits of the watch. Seconds."""

    interval: float = 2.0  # between two questions whether it answers
    start: float = 300.0  # it may take so long to answer for the first time
    silence: float = 40.0  # after that, it is stuck when it has not answered for so long
    first_pause: float = 0.5  # before it is started again; the pause doubles while it ends early
    longest_pause: float = 30.0
    early: float = 30.0  # an end within so long after a start is early


class SupervisedOrchestrator:
    """An orchestrator at an address, from `start` to `stop`.

    One that is started again ends with the thread of the watch, which lives until `stop`.
    """

    def __init__(
        self,
        address: str,
        *,
        environment: Mapping[str, str],
        ready_file: Path,
        log: Path,
        limits: WatchLimits | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`ready_file`: the orchestrator writes it when it is ready."""
        self.restarts = 0
        self._address, self._environment, self._log = address, environment, log
        self._ready_file, self._command = ready_file, command
        self._limits = limits or WatchLimits()
        self._stopping = threading.Event()
        self._changing = threading.Lock()  # the owner may stop what the watch is about to start
        self._child: ChildProcess | None = None
        self._began = 0.0
        self._watching = threading.Thread(target=self._watch, name=f"watch of {address}", daemon=True)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running.pid

    @property
    def _running(self) -> ChildProcess:
        if self._child is None:
            raise StartError("the orchestrator was not started")
        return self._child

    def start(self) -> None:
        """Starts it, and does not wait for it."""
        self._ready_file.unlink(missing_ok=True)
        self._began = time.monotonic()
        self._child = ChildProcess(self._command, environment=self._environment, log=self._log)

    def wait_serving(self, seconds: float = 60.0) -> None:
        """Returns once it serves everything; raises StartError with the end of its log."""
        deadline = time.monotonic() + seconds
        with grpc.insecure_channel(self._address, options=OPTIONS) as channel:
            check = _check(channel)
            while time.monotonic() < deadline:
                if self._running.exit_code is not None:
                    raise StartError(f"the orchestrator ended:\n{self._running.log_tail()}")
                try:
                    status = check(1.0)
                except grpc.RpcError:
                    continue
                if status == health_pb2.HealthCheckResponse.SERVING and self._ready_file.exists():
                    return
        raise StartError(f"the orchestrator did not serve in {seconds:.0f} s:\n{self._running.log_tail()}")

    def watch(self) -> None:
        """Begins to look after it, until `stop`."""
        self._watching.start()

    def failed(self) -> str | None:
        """The reason why it is not watched any more, or None."""
        if self._watching.ident and not self._watching.is_alive() and not self._stopping.is_set():
            return (
                "the watch of the orchestrator ended, so it is not restarted any more; the log has the reason"
            )
        return None

    def stop(self, grace: float) -> None:
        """Ends it for good; its jobs have `grace` seconds to finish."""
        self._stopping.set()
        with self._changing:
            if self._child is not None:
                self._child.stop(grace)
        if self._watching.is_alive():
            self._watching.join(self._limits.silence)

    def _watch(self) -> None:
        pause = self._limits.first_pause
        while not self._stopping.is_set():
            self._wait_for_end()
            if self._stopping.is_set():
                return
            if time.monotonic() - self._began > self._limits.early:
                pause = self._limits.first_pause
            ended = self._running
            log.warning(
                "the orchestrator ended by itself, with %d; it is started again in %g s:\n%s",
                ended.exit_code,
                pause,
                ended.log_tail(),
            )
            self._stopping.wait(pause)
            pause = min(2 * pause, self._limits.longest_pause)
            self._start_again()

    def _start_again(self) -> None:
        with self._changing:
            if self._stopping.is_set():
                return
            self._running.stop(grace=0)  # what is left of its process group
            self.restarts += 1
            try:
                self.start()
            except OSError as fault:  # no memory for a process, for example: the next round tries again
                log.error("the orchestrator cannot be started: %s", fault)

    def _wait_for_end(self) -> None:
        """Returns when its process has ended, or was ended because it is stuck."""
        answered, child = None, self._running
        with grpc.insecure_channel(self._address, options=OPTIONS) as channel:
            check = _check(channel)
            while not child.ended(within=self._limits.interval) and not self._stopping.is_set():
                try:
                    check(self._limits.interval)
                    answered = time.monotonic()
                    continue
                except grpc.RpcError as error:
                    fault = error
                since, limit = (
                    answered or self._began,
                    self._limits.silence if answered else self._limits.start,
                )
                if time.monotonic() - since > limit:
                    log.warning("the orchestrator has not answered for %.0f s (%s)", limit, fault.details())
                    with self._changing:
                        child.stop(grace=0)


def _check(channel: grpc.Channel) -> Callable[[float], int]:
    """The call that returns the orchestrator's health, within so many seconds."""
    health = health_pb2_grpc.HealthStub(channel)

    def check(seconds: float) -> int:
        request = health_pb2.HealthCheckRequest()
        return health.Check(request, timeout=seconds, wait_for_ready=True).status

    return check
