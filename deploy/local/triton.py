"""Runs a Triton server on this machine, from the `nvidia-pytriton` wheel.

Only its binaries are used. The Python backend runs models with a stub built for one CPython version, which it
finds through a folder of links; the models use the interpreter that runs this module.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonclient.grpc import InferenceServerClient, InferenceServerException

from deploy.local.cores import usable_cores
from deploy.local.loopback import KEY_HEADER, RESTRICTED, triton_client
from deploy.local.models import REPOSITORY
from deploy.local.process import ChildProcess

ROOT = Path(__file__).parents[2]

log = logging.getLogger(__name__)

_HEADER_PREFIX = "triton-grpc-protocol-"  # Triton adds it to the name of the header that it is given


class StartError(RuntimeError):
    """Triton cannot start on this machine; says why, and what to do."""


@dataclass(frozen=True)
class TritonSettings:
    """Settings of a server."""

    work: Path  # for links and the log; created if missing
    grpc_port: int
    metrics_port: int
    models: Sequence[str]
    weights: Path
    repository: Path = REPOSITORY
    profile: str = "cpu"  # for configs/<profile>.pbtxt; empty for config.pbtxt, which requires a GPU
    threads: int = field(default_factory=usable_cores)
    # Short: the orchestrator drains first, and waiting for a model whose process died is useless.
    exit_seconds: int = 10
    load_seconds: float = 300.0  # for all models
    environment: Mapping[str, str] = field(default_factory=dict)


class Triton:
    """A server that runs from `start` to `stop`.

    `key` opens what is restricted, and is drawn anew for each server; `key_file` holds it for the owner's own
    tools. Triton takes it as an argument only, so those who may look at the processes of this machine see it.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self.settings = settings
        self.url = f"127.0.0.1:{settings.grpc_port}"
        self.metrics_url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
        self.key = secrets.token_hex(32)
        self.key_file = settings.work / "key"
        self._shared = f"intarsia-{uuid.uuid4().hex[:12]}-"
        self._stopped = False
        self._changing = threading.Lock()  # the owner may stop what a supervisor is about to restart
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The server's process, which leads the process group of its stubs."""
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._running.exit_code

    @property
    def _running(self) -> ChildProcess:
        if self._child is None:
            raise StartError("Triton was not started")
        return self._child

    def start(self) -> None:
        """Starts it; `wait_ready` waits until its models are loaded."""
        with self._changing:
            if self._stopped:
                raise StartError("Triton was stopped")
            if self._child is None:
                self._child = self._launch()

    def wait_ready(self) -> None:
        """Returns once every model is loaded; raises StartError with the end of the server's log."""
        seconds = self.settings.load_seconds
        deadline = time.monotonic() + seconds
        with triton_client(self.url) as client:
            while not self._all_ready(client):
                if self.exit_code is not None:
                    raise StartError(f"Triton ended while loading:\n{self._running.log_tail()}")
                if time.monotonic() > deadline:
                    with self._changing:
                        self._end(grace=0)  # not for good: the supervisor may start it again
                    raise StartError(f"Triton was not ready in {seconds:.0f} s:\n{self._running.log_tail()}")
                time.sleep(0.1)  # Triton has no event for this

    def stop(self) -> int:
        """Lets running requests finish, then ends the server and every stub; returns the exit code."""
        self._stopped = True
        with self._changing:
            return self._end(grace=self.settings.exit_seconds + 5)

    def restart(self) -> None:
        """Starts a new server with the same settings, unless it was stopped for good."""
        with self._changing:
            if self._child is not None and (code := self._child.exit_code) is not None:
                log.warning(
                    "Triton at %s ended by itself, with %d:\n%s", self.url, code, self._child.log_tail()
                )
            self._end(grace=self.settings.exit_seconds + 5)
            if self._stopped:
                raise StartError("Triton was stopped")
            self._child = self._launch()

    def _end(self, grace: float) -> int:
        """Ends the process group, and removes the shared memory that a killed stub leaves behind."""
        code = self._child.stop(grace) if self._child is not None else 0
        for region in Path("/dev/shm").glob(self._shared + "*"):
            region.unlink(missing_ok=True)
        return code

    def _launch(self) -> ChildProcess:
        wheel = _wheel()
        backends = _link_backend(wheel, self.settings.work / "backends")
        header = KEY_HEADER.removeprefix(_HEADER_PREFIX)
        command = [
            str(wheel / "bin/tritonserver"),
            f"--model-repository={self.settings.repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self.settings.models),
            "--disable-auto-complete-config",
            "--allow-http=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.settings.grpc_port}",
            f"--grpc-restricted-protocol={','.join(RESTRICTED)}:{header}={self.key}",
            # A client that is frozen or lost its network is detected within 15 seconds.
            "--grpc-keepalive-time=10000",
            "--grpc-keepalive-timeout=5000",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={self.settings.metrics_port}",
            f"--exit-timeout-secs={self.settings.exit_seconds}",
            f"--backend-config=python,shm-region-prefix-name={self._shared}",
        ]
        if self.settings.profile:
            command.append(f"--model-config-name={self.settings.profile}")
        environment = {
            **os.environ,
            "PATH": _first(Path(sys.executable).parent, os.environ.get("PATH")),
            "LD_LIBRARY_PATH": _first(_libpython().parent, os.environ.get("LD_LIBRARY_PATH")),
            "OMP_NUM_THREADS": str(self.settings.threads),
            # The models share the CPU. Threads that spin while they wait take it from the threads they wait
            # for: on a busy machine a pass then takes ten times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            "INTARSIA_WEIGHTS": str(self.settings.weights.resolve()),
            **self.settings.environment,
        }
        try:
            self._write_key()
            return ChildProcess(command, environment=environment, log=self.settings.work / "triton.log")
        except OSError as fault:
            raise StartError(f"Triton cannot be started: {fault}") from fault

    def _write_key(self) -> None:
        self.key_file.unlink(missing_ok=True)
        with open(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.key)

    def _all_ready(self, client: InferenceServerClient) -> bool:
        try:
            return all(client.is_model_ready(model, client_timeout=5.0) for model in self.settings.models)
        except InferenceServerException:
            return False


def _wheel() -> Path:
    found = importlib.util.find_spec("pytriton")
    if found is None or not found.submodule_search_locations:
        raise StartError("the package nvidia-pytriton is missing: run `make install`")
    return Path(found.submodule_search_locations[0]) / "tritonserver"


def _libpython() -> Path:
    """The shared library of this interpreter; without it the stub would hang, so it is checked first."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    places = [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL")]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        places.append(f"/usr/lib/{multiarch}")
    for place in filter(None, places):
        library = Path(place) / name
        if ".so" in name and library.exists():
            return library
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise StartError(
        f"this Python {version} ({sys.executable}) has no shared library, which Triton's Python backend "
        f"needs. On Debian or Ubuntu install libpython{version}; with pyenv, build with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared."
    )


def _first(folder: Path, others: str | None) -> str:
    """A search path that begins with a folder; without empty parts, which would mean the working folder."""
    return f"{folder}:{others}" if others else str(folder)


def _link_backend(wheel: Path, backends: Path) -> Path:
    """A folder of links to the backend and the stub for this interpreter."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / f"python_backend_stubs/{version}/triton_python_backend_stub"
    if not stub.exists():
        raise StartError(f"Triton has no stub for Python {version}; use 3.11 or 3.12")
    folder = backends / "python"
    originals = [
        wheel / "backends/python/libtriton_python.so",
        wheel / "backends/python/triton_python_backend_utils.py",
        stub,
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for original in originals:
            link = folder / original.name
            link.unlink(missing_ok=True)
            link.symlink_to(original)
    except OSError as fault:
        raise StartError(f"the links for Triton's backend cannot be made: {fault}") from fault
    return backends.resolve()
