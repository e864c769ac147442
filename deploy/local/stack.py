"""The whole platform on one machine: a Triton, or one for each GPU, their supervisors, the orchestrator."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from deploy.local.gpus import VISIBLE, GpuError
from deploy.local.model_server import ModelServer
from deploy.local.models import ConfigError, RepositoryModel, memory_share, served_models
from deploy.local.orchestrator import SupervisedOrchestrator
from deploy.local.placement import GpuModels, PlacementError, place
from deploy.local.ports import PortTaken, choose_ports
from deploy.local.stack_settings import StackSettings
from deploy.local.triton import StartError, Triton, TritonSettings

__all__ = ["Stack", "StackSettings"]

_LOAD_SECONDS, _COMPILE_SECONDS = 300.0, 1800.0  # for all models of a server; with their networks to compile


class Stack:
    """The running platform; a context manager that stops it at the end.

    Nothing runs before `start`. The children end with the thread that started them, so that thread must live
    as long as the stack.
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
            self.placement = _placement(settings, served)
        except (ConfigError, GpuError, PlacementError) as fault:
            raise StartError(str(fault)) from None
        self.models = tuple(model.name for model in served)
        groups: list[GpuModels | None] = [each for each in self.placement if each.models]
        groups = groups or [None]
        port, metrics, *others = _choose_ports(settings, len(groups))
        self.address = f"127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        self.servers = tuple(
            ModelServer(_triton_settings(settings, served, group, ports), settings.probe_limits)
            for group, ports in zip(groups, zip(others[::2], others[1::2], strict=True), strict=True)
        )
        self._ready = settings.data / "orchestrator.json"
        environment = {
            **os.environ,
            "INTARSIA_LISTEN": self.address,
            "INTARSIA_METRICS_LISTEN": f"127.0.0.1:{metrics}",
            "INTARSIA_ARTIFACTS": str((settings.data / "artifacts").resolve()),
            "INTARSIA_JOBS_DATABASE": os.environ.get("INTARSIA_JOBS_DATABASE")
            or f"sqlite:///{(settings.data / 'jobs.sqlite').resolve()}",
            "INTARSIA_READY_FILE": str(self._ready.resolve()),
            "INTARSIA_DRAIN_SECONDS": str(settings.drain_seconds),
            **_addresses(self.servers),
            **settings.environment,
        }
        self.orchestrator = SupervisedOrchestrator(
            self.address,
            environment=environment,
            ready_file=self._ready,
            log=settings.data / "orchestrator.log",
        )

    @property
    def triton(self) -> Triton:
        """The first server's Triton, which is the only one unless models were placed on several GPUs."""
        return self.servers[0].triton

    @property
    def places(self) -> list[str]:
        """A line for each GPU: its models, what they need, and their server's address."""
        urls = (server.triton.url for server in self.servers)
        return [f"{each}, at {next(urls)}" if each.models else str(each) for each in self.placement]

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
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_alive()
        self.orchestrator.start()
        self.orchestrator.wait_serving()
        self.orchestrator.watch()
        for server in self.servers:
            server.watch()

    @property
    def keeps(self) -> str:
        """How long the orchestrator keeps what, in one line."""
        return str(json.loads(self._ready.read_text(encoding="utf-8"))["keeps"])

    def failed(self) -> str | None:
        """The reason why the platform cannot continue, or None."""
        faults = (self.orchestrator.failed(), *(server.failed() for server in self.servers))
        return next(filter(None, faults), None)

    def stop(self) -> None:
        """Stops everything, front to back, so that running jobs can finish."""
        self.orchestrator.stop(grace=self.settings.drain_seconds + 5)
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(ModelServer.stop, self.servers))


def _placement(settings: StackSettings, served: Sequence[RepositoryModel]) -> tuple[GpuModels, ...]:
    if settings.gpus is None:
        return ()
    memory = settings.gpus(settings.weights, served)
    return place(memory.gpus, memory.models)


def _choose_ports(settings: StackSettings, servers: int) -> list[int]:
    """The orchestrator's port and that of its metrics, then the same for each server."""
    requested = [settings.port, settings.metrics_port]
    for number in range(servers):
        for first in (settings.triton_port, settings.triton_metrics_port):
            requested.append(first + number if first else 0)
    try:
        return choose_ports(requested)
    except PortTaken as fault:
        raise StartError(
            f"{fault}; stop the program that uses it, or choose another port (0 for any free one)"
        ) from None


def _triton_settings(
    settings: StackSettings,
    served: Sequence[RepositoryModel],
    group: GpuModels | None,
    ports: tuple[int, int],
) -> TritonSettings:
    """Those of the server for the models of one GPU, the only one it sees; without a group for all models."""
    work, own, environment = "triton", list(served), {}
    if group is not None:
        names = {model.name for model in group.models}
        work, own = f"triton-gpu-{group.gpu.index}", [model for model in served if model.name in names]
        environment[VISIBLE] = group.gpu.visible
    grpc_port, metrics_port = ports
    return TritonSettings(
        work=settings.data / work,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        models=tuple(model.name for model in own),
        weights=settings.weights,
        repository=settings.repository,
        profile=settings.profile,
        threads=settings.threads,
        load_seconds=_COMPILE_SECONDS if os.environ.get("INTARSIA_COMPILE") == "on" else _LOAD_SECONDS,
        environment={
            **environment,
            "INTARSIA_MEMORY_SHARE": f"{memory_share(own):g}",
            "INTARSIA_CACHE": os.environ.get("INTARSIA_CACHE") or str((settings.data / "cache").resolve()),
            **settings.environment,
        },
    )


def _addresses(servers: Sequence[ModelServer]) -> dict[str, str]:
    """The orchestrator's settings of addresses: a list for each model, unless all are in the first server."""
    first = servers[0].triton.url
    lists: dict[str, list[str]] = {}
    for server in servers:
        for model in server.models:
            lists.setdefault(model, []).append(server.triton.url)
    variables = {f"INTARSIA_TRITON_{model.upper()}": ",".join(urls) for model, urls in lists.items()}
    return {"INTARSIA_TRITON": first, **{name: urls for name, urls in variables.items() if urls != first}}
