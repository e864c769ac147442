"""Keeps the models of one Triton running.

Triton never restarts a stub that died, and never detects a stuck one. So every model is probed in turn; one
that fails is unloaded and loaded again, and if that does not help the whole server is restarted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from tritonclient.grpc import InferenceServerClient, InferenceServerException

from deploy.local.loopback import triton_client
from deploy.local.probe import ProbeError, ProbeTimeout, in_a_long_step, probe
from deploy.local.stubs import Stubs
from deploy.local.triton import StartError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeLimits:
    """The interval and the limits of probes."""

    interval: float = 2.0  # seconds between two rounds of probes
    timeout: float = 20.0  # seconds a probe may take
    failures: int = 2  # failed probes in a row before a model counts as stuck
    load_timeout: float = 300.0  # seconds a model may take to load
    look: float = 1.0  # seconds between two looks at the processes of the models


class Supervisor:
    """Probes and repairs models. `restart` restarts the server, whatever state it is in."""

    def __init__(
        self,
        url: str,
        models: Sequence[str],
        restart: Callable[[], None],
        limits: ProbeLimits | None = None,
        *,
        key: str = "",
        stubs: Stubs | None = None,
    ) -> None:
        """`key` is that of the server, without which it loads no model; `stubs` are its processes."""
        self._url, self._models, self._restart, self._key = url, tuple(models), restart, key
        self._limits = limits or ProbeLimits()
        self._failures = dict.fromkeys(self._models, 0)
        self._late = 0  # times in a row that the server itself did not reply in time
        self.repairs = 0
        self._stubs = stubs or Stubs(lambda: None)
        self._repairing = threading.Lock()  # two threads find out what has to be repaired

    def run(self, stop: threading.Event) -> None:
        """Checks the models until `stop` is set."""
        while not stop.wait(self._limits.interval):
            try:
                self.check()
            except StartError as fault:
                # Try again in the next round: a port or memory may become free.
                if not stop.is_set():
                    log.error("%s", fault)

    def run_looks(self, stop: threading.Event) -> None:
        """Looks after processes until `stop` is set; beside `run`, whose probes may take long."""
        while not stop.wait(self._limits.look):
            self.look()

    def look(self) -> None:
        """Loads models again whose process has ended; if that does not help, `check` restarts the server."""
        with self._repairing:
            for model in self._stubs.ended(self._models):
                log.warning("the process of %s has ended; it is loaded again", model)
                with triton_client(self._url, self._key) as client:
                    self._reload(client, model)

    def check(self) -> None:
        """Probes every model once, and repairs those that fail."""
        with triton_client(self._url, self._key) as client:
            if self._server_is_down(client):
                log.warning("Triton at %s does not reply; restarting it", self._url)
                self._restart_server()
                return
            if self._late:
                return
            for model in self._models:
                repairs = self.repairs
                if self._is_alive(client, model):
                    continue
                with self._repairing:
                    if self.repairs != repairs or self._reload(client, model):
                        continue  # repaired in the meantime, or now
                log.warning("%s cannot be loaded again; restarting Triton at %s", model, self._url)
                self._restart_server()
                return

    def _server_is_down(self, client: InferenceServerClient) -> bool:
        """True at once if it is unreachable; a late reply may only mean a busy machine."""
        try:
            live = client.is_server_live(client_timeout=self._limits.timeout)
        except InferenceServerException as fault:
            late = fault.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
            self._late = self._late + 1 if late else 0
            log.warning("Triton at %s: %s (%d in a row)", self._url, fault.message(), self._late)
            return not late or self._late >= self._limits.failures
        self._late = 0
        return not live

    def _is_alive(self, client: InferenceServerClient, model: str) -> bool:
        before = self._successes(client, model)
        try:
            probe(client, model, seconds=self._limits.timeout)
        except ProbeError as fault:
            if self._successes(client, model) > before:
                log.info("%s is too busy for a probe, but replies to other requests", model)
                self._failures[model] = 0
                return True
            if isinstance(fault, ProbeTimeout) and in_a_long_step(
                client, model, seconds=self._limits.timeout
            ):
                log.info("%s is too busy for a probe, but in a step that may take so long", model)
                self._failures[model] = 0
                return True
            self._failures[model] += 1
            log.warning("%s (%d in a row)", fault, self._failures[model])
            # A dead stub is reported and never recovers; silence may only mean a long step.
            return "not healthy" not in str(fault) and self._failures[model] < self._limits.failures
        self._failures[model] = 0
        return True

    def _successes(self, client: InferenceServerClient, model: str) -> int:
        """The number of successful replies of a model whose probe waits in the same queue as other requests.

        0 for a decoupled model: its probe goes first in the queue, and Triton's count says nothing about the
        step loop.
        """
        seconds = self._limits.timeout
        try:
            policy = client.get_model_config(model, client_timeout=seconds).config.model_transaction_policy
            versions = client.get_inference_statistics(model, client_timeout=seconds).model_stats
        except InferenceServerException:
            return 0
        return 0 if policy.decoupled else sum(each.inference_stats.success.count for each in versions)

    def _reload(self, client: InferenceServerClient, model: str) -> bool:
        """Unloads and loads a model; without the unloading Triton would keep a dead stub."""
        try:
            client.unload_model(model, client_timeout=self._limits.load_timeout)
            client.load_model(model, client_timeout=self._limits.load_timeout)
            probe(client, model, seconds=self._limits.timeout)
        except (InferenceServerException, ProbeError) as fault:
            log.warning("%s did not come back: %s", model, fault)
            return False
        finally:
            self._stubs.forget()
            # At the end: a probe that was answered before it says nothing about the model as it is now.
            self.repairs += 1
        log.warning("%s was loaded again", model)
        self._failures[model] = 0
        return True

    def _restart_server(self) -> None:
        with self._repairing:
            self._late = 0
            try:
                self._restart()
            finally:
                self.repairs += 1
            self._failures = dict.fromkeys(self._models, 0)
