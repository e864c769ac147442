"""One Triton with its models, and the supervisor that keeps them answering."""

from __future__ import annotations

import logging
import threading
import time

from deploy.local.loopback import triton_client
from deploy.local.probe import probe
from deploy.local.stubs import Stubs
from deploy.local.supervisor import ProbeLimits, Supervisor
from deploy.local.triton import StartError, Triton, TritonSettings

log = logging.getLogger(__name__)

# A check in progress may take so long until Triton is stopped all the same: models that leave would fail it.
_CHECK_SECONDS = 2.0


class ModelServer:
    """A Triton that is started, waited for, watched, and stopped; other servers do not notice its restarts.

    A restarted Triton ends with the supervisor's thread, which lives until `stop`.
    """

    def __init__(self, settings: TritonSettings, limits: ProbeLimits | None = None) -> None:
        self._limits = limits or ProbeLimits()
        self.triton = Triton(settings)
        self.models = tuple(settings.models)
        self.supervisor = Supervisor(
            self.triton.url,
            self.models,
            self._restart,
            self._limits,
            key=self.triton.key,
            stubs=Stubs(self._running),
        )
        self._stop = threading.Event()
        self._threads = tuple(
            threading.Thread(
                target=work, args=(self._stop,), name=f"{name} of {self.triton.url}", daemon=True
            )
            for work, name in ((self.supervisor.run, "supervisor"), (self.supervisor.run_looks, "looks"))
        )

    def start(self) -> None:
        """Starts Triton, and does not wait for it."""
        self.triton.start()

    def wait_alive(self) -> None:
        """Returns once every model passed a probe."""
        self.triton.wait_ready()
        with triton_client(self.triton.url, self.triton.key) as client:
            for model in self.models:
                facts = probe(client, model, seconds=self._limits.load_timeout)
                log.info("%s at %s is ready", model, self.triton.url)
                log.debug("%s: %s", model, facts)

    def watch(self) -> None:
        """Begins to check the models, until `stop`."""
        for thread in self._threads:
            thread.start()

    def failed(self) -> str | None:
        """The reason why the models are not watched any more, or None."""
        ended = any(thread.ident and not thread.is_alive() for thread in self._threads)
        if ended and not self._stop.is_set():
            return "the supervisor ended, so models are not checked any more; the log has the reason"
        return None

    def stop(self) -> None:
        """Ends Triton for good, and the supervisor, which gets a moment to finish what it checks."""
        self._stop.set()
        self._wait_for_check(_CHECK_SECONDS)
        self.triton.stop()
        self._wait_for_check(self._limits.timeout)

    def _wait_for_check(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _running(self) -> int | None:
        """Triton's process while it runs."""
        try:
            return self.triton.pid if self.triton.exit_code is None else None
        except StartError:
            return None

    def _restart(self) -> None:
        if not self._stop.is_set():
            self.triton.restart()
            self.triton.wait_ready()
