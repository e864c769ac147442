"""One Triton with its models, and the supervisor that keeps them answering."""

from __future__ import annotations

import logging
import threading

from deploy.local.loopback import triton_client
from deploy.local.probe import probe
from deploy.local.supervisor import ProbeLimits, Supervisor
from deploy.local.triton import Triton, TritonSettings

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
            self.triton.url, self.models, self._restart, self._limits, key=self.triton.key
        )
        self._stop = threading.Event()
        self._watching = threading.Thread(
            target=self.supervisor.run,
            args=(self._stop,),
            name=f"supervisor of {self.triton.url}",
            daemon=True,
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
                log.info("%s at %s is alive: %s", model, self.triton.url, facts)

    def watch(self) -> None:
        """Begins to check the models, until `stop`."""
        self._watching.start()

    def failed(self) -> str | None:
        """The reason why the models are not watched any more, or None."""
        if self._watching.ident and not self._watching.is_alive() and not self._stop.is_set():
            return "the supervisor ended, so models are not checked any more; the log has the reason"
        return None

    def stop(self) -> None:
        """Ends Triton for good, and the supervisor, which gets a moment to finish what it checks."""
        self._stop.set()
        self._wait_for_check(_CHECK_SECONDS)
        self.triton.stop()
        self._wait_for_check(self._limits.timeout)

    def _wait_for_check(self, seconds: float) -> None:
        if self._watching.is_alive():
            self._watching.join(seconds)

    def _restart(self) -> None:
        if not self._stop.is_set():
            self.triton.restart()
            self.triton.wait_ready()
