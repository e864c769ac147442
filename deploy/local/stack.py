"""The whole platform on one machine: Triton with its models, a supervisor, the orchestrator."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.cores import usable_cores
from deploy.local.loopback import OPTIONS, triton_client
from deploy.local.models import REPOSITORY, ConfigError, memory_share, served_models
from deploy.local.ports import PortTaken, choose_ports
from deploy.local.probe import probe
from deploy.local.process import ChildProcess
from deploy.local.supervisor import ProbeLimits, Supervisor
from deploy.local.triton import StartError, Triton, TritonSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StackSettings:
    """Settings of a stack. A port of 0 means any free one."""

    data: Path  # artifacts, links and logs
    weights: Path
    repository: Path = REPOSITORY
    port: int = 0
    metrics_port: int = 0
    triton_port: int = 0
    triton_metrics_port: int = 0
    profile: str = "cpu"
    threads: int = field(default_factory=usable_cores)
    probe_limits: ProbeLimits = field(default_factory=ProbeLimits)
    drain_seconds: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """The running platform; a context manager that stops it at the end.

    Nothing runs before `start`. The children end with the thread that started them, so that thread must live
    as long as the stack; a restarted Triton ends with the supervisor's thread, which lives until `stop`.
    """

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        if not settings.weights.is_dir():
            raise StartError(
                f"there are no weights at {settings.weights}; name a folder of bundles, or make random ones "
                "with `python -m training.tiny FOLDER`"
            )
        try:
            served = served_models(settings.weights, settings.repository)
        except ConfigError as fault:
            raise StartError(str(fault)) from None
        self.models = tuple(model.name for model in served)
        requested = (settings.port, settings.metrics_port, settings.triton_port, settings.triton_metrics_port)
        try:
            port, metrics, grpc_port, triton_metrics = choose_ports(requested)
        except PortTaken as fault:
            raise StartError(
                f"{fault}; stop the program that uses it, or choose another port (0 for any free one)"
            ) from None
        share = f"{memory_share(served):g}"
        self.address = f"127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        self.triton = Triton(
            TritonSettings(
                work=settings.data / "triton",
                grpc_port=grpc_port,
                metrics_port=triton_metrics,
                models=self.models,
                weights=settings.weights,
                repository=settings.repository,
                profile=settings.profile,
                threads=settings.threads,
                environment={"INTARSIA_MEMORY_SHARE": share, **settings.environment},
            )
        )
        self.supervisor = Supervisor(self.triton.url, self.models, self._restart, settings.probe_limits)
        self._watching = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._stop = threading.Event()
        self._orchestrator: ChildProcess | None = None
        self._environment = {
            **os.environ,
            "INTARSIA_LISTEN": self.address,
            "INTARSIA_METRICS_LISTEN": f"127.0.0.1:{metrics}",
            "INTARSIA_TRITON": self.triton.url,
            "INTARSIA_ARTIFACTS": str((settings.data / "artifacts").resolve()),
            "INTARSIA_DRAIN_SECONDS": str(settings.drain_seconds),
            **settings.environment,
        }

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything, and returns once every model passed a probe; after an error nothing is left."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.triton.start()
        self.triton.wait_ready()
        with triton_client(self.triton.url) as client:
            for model in self.models:
                facts = probe(client, model, seconds=self.settings.probe_limits.load_timeout)
                log.info("%s is alive: %s", model, facts)
        self._orchestrator = ChildProcess(
            [sys.executable, "-m", "orchestrator"],
            environment=self._environment,
            log=self.settings.data / "orchestrator.log",
        )
        self._wait_serving(self._orchestrator)
        self._watching.start()

    @property
    def orchestrator_pid(self) -> int:
        """The orchestrator's process."""
        if self._orchestrator is None:
            raise StartError("the orchestrator was not started")
        return self._orchestrator.pid

    def failed(self) -> str | None:
        """The reason why the platform cannot continue, or None."""
        if self._orchestrator is not None and self._orchestrator.exit_code is not None:
            return f"the orchestrator ended:\n{self._orchestrator.log_tail()}"
        if self._watching.ident and not self._watching.is_alive() and not self._stop.is_set():
            return "the supervisor ended, so models are not checked any more; the log has the reason"
        return None

    def stop(self) -> None:
        """Stops everything, front to back, so that running jobs can finish."""
        if self._orchestrator is not None:
            self._orchestrator.stop(grace=self.settings.drain_seconds + 5)
        self._stop.set()
        self.triton.stop()
        if self._watching.is_alive():
            self._watching.join(self.settings.probe_limits.timeout)

    def _watch(self) -> None:
        self.supervisor.run(self._stop)

    def _restart(self) -> None:
        if not self._stop.is_set():
            self.triton.restart()
            self.triton.wait_ready()

    def _wait_serving(self, orchestrator: ChildProcess, seconds: float = 60.0) -> None:
        with grpc.insecure_channel(self.address, options=OPTIONS) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if orchestrator.exit_code is not None:
                    raise StartError(f"the orchestrator ended:\n{orchestrator.log_tail()}")
                try:
                    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
                except grpc.RpcError:
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        raise StartError(f"the orchestrator did not serve in {seconds:.0f} s:\n{orchestrator.log_tail()}")
