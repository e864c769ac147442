"""Keeps the models behind one Triton answering.

A stub that died is never started again by Triton, and a stuck one never noticed. So every model is
probed in turn; one that fails is unloaded and loaded again, and if that does not help the whole server
is started afresh.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from tritonclient.grpc import InferenceServerClient, InferenceServerException

from deploy.local.loopback import triton_client
from deploy.local.probe import NotAlive, Silent, in_a_long_step, probe
from deploy.local.triton import CannotStart

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How often to look, and how long to wait."""

    between: float = 2.0  # seconds between two rounds of probes
    answer: float = 20.0  # seconds a probe may take
    misses: int = 2  # unanswered probes in a row before a model counts as stuck
    loading: float = 300.0  # seconds a model may take to load


class Supervisor:
    """Probes and repairs. `restart` brings up the server again, whatever state it is in."""

    def __init__(
        self, url: str, models: Sequence[str], restart: Callable[[], None], patience: Patience | None = None
    ) -> None:
        self._url, self._models, self._restart = url, tuple(models), restart
        self._patience = patience or Patience()
        self._missed = dict.fromkeys(self._models, 0)
        self._late = 0  # times in a row that the server itself did not answer in time
        self.repairs = 0

    def run(self, stop: threading.Event) -> None:
        """Looks after the models until `stop` is set."""
        while not stop.wait(self._patience.between):
            try:
                self.look()
            except CannotStart as fault:
                # Worth trying again: a port or the memory may become free.
                if not stop.is_set():
                    log.error("%s", fault)

    def look(self) -> None:
        """One round: probes every model and repairs what does not answer."""
        with triton_client(self._url) as client:
            if self._server_is_gone(client):
                log.warning("Triton does not answer; starting it again")
                self._start_again()
                return
            if self._late:
                return
            for model in self._models:
                if not self._alive(client, model) and not self._reload(client, model):
                    log.warning("%s cannot be loaded again; starting Triton again", model)
                    self._start_again()
                    return

    def _server_is_gone(self, client: InferenceServerClient) -> bool:
        """True at once for one that cannot be reached; a late answer may only come from a busy machine."""
        try:
            live = client.is_server_live(client_timeout=self._patience.answer)
        except InferenceServerException as fault:
            late = fault.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
            self._late = self._late + 1 if late else 0
            log.warning("Triton: %s (%d in a row)", fault.message(), self._late)
            return not late or self._late >= self._patience.misses
        self._late = 0
        return not live

    def _alive(self, client: InferenceServerClient, model: str) -> bool:
        before = self._answers(client, model)
        try:
            probe(client, model, seconds=self._patience.answer)
        except NotAlive as fault:
            if self._answers(client, model) > before:
                log.info("%s is too busy for a probe, but answers others", model)
                self._missed[model] = 0
                return True
            if isinstance(fault, Silent) and in_a_long_step(client, model, seconds=self._patience.answer):
                log.info("%s is too busy for a probe, but in a step that may take so long", model)
                self._missed[model] = 0
                return True
            self._missed[model] += 1
            log.warning("%s (%d in a row)", fault, self._missed[model])
            # A dead stub says so and will never recover; silence may only be a long step.
            return "not healthy" not in str(fault) and self._missed[model] < self._patience.misses
        self._missed[model] = 0
        return True

    def _answers(self, client: InferenceServerClient, model: str) -> int:
        """How many it has given, for a model whose probe waits in line with everybody else's questions.

        Refusals of a dead process are no answers. A decoupled model's probe leads the line, and what
        Triton counts there tells nothing of the loop behind it.
        """
        seconds = self._patience.answer
        try:
            policy = client.get_model_config(model, client_timeout=seconds).config.model_transaction_policy
            told = client.get_inference_statistics(model, client_timeout=seconds).model_stats
        except InferenceServerException:
            return 0
        return 0 if policy.decoupled else sum(version.inference_stats.success.count for version in told)

    def _reload(self, client: InferenceServerClient, model: str) -> bool:
        """Unloading is what makes Triton give up a dead stub; loading alone does nothing."""
        self.repairs += 1
        try:
            client.unload_model(model, client_timeout=self._patience.loading)
            client.load_model(model, client_timeout=self._patience.loading)
            probe(client, model, seconds=self._patience.answer)
        except (InferenceServerException, NotAlive) as fault:
            log.warning("%s did not come back: %s", model, fault)
            return False
        log.warning("%s was loaded again", model)
        self._missed[model] = 0
        return True

    def _start_again(self) -> None:
        self.repairs += 1
        self._late = 0
        self._restart()
        self._missed = dict.fromkeys(self._models, 0)
