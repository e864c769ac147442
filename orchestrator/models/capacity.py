"""The capacity of models: how many requests of jobs keep them full, by the facts they published last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.endpoints import Endpoints

# While one request is denoised, the job of another is prepared or stored.
_JOBS_PER_REQUEST = 2
# An endpoint that has said nothing gets so many. One whose passes are said to be full with fewer gets as many
# too, if they fit: only in company can it learn whether that is still so.
_AT_LEAST = 8


class ModelCapacity:
    """How many requests of each method's jobs may run: as many as the endpoints of the model take that does
    most of their work.

    An endpoint that is down counts nothing. If all are down, their last numbers count: a job that starts
    then waits for the model like those that run already.
    """

    def __init__(self, endpoints: Mapping[str, Endpoints]) -> None:
        """`endpoints`: those of the model that does most of the work, by method."""
        self._endpoints = endpoints
        self._answered: set[str] = set()  # methods whose model has published facts

    def most(self, method: str) -> int:
        """How many requests of a method's jobs may run at a time; 0 until the model answered once.

        When everything starts, jobs that waited are there before the models are.
        """
        endpoints = self._endpoints[method]
        if any(endpoint.last_facts for endpoint in endpoints.current):
            self._answered.add(method)
        if method not in self._answered:
            return 0
        return max(1, sum(map(_requests_at, endpoints.usable or endpoints.current)))

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed` when facts were read, and when an endpoint came, went, failed or returned."""
        for endpoints in self._endpoints.values():
            endpoints.on_change = changed


def _requests_at(endpoint: Endpoint) -> int:
    """The requests of jobs that keep an endpoint full, those counted that are prepared or stored.

    Facts `capacity` of a denoiser: `full_pass`, requests that fill its best pass, `fit`, those its memory
    holds, and how many may be `running` and `waiting` in it; of `sam`: `clips`, those tracked together.
    """
    capacity: Mapping[str, Any] = endpoint.last_facts.get("capacity", {})
    if "clips" in capacity:
        return max(1, int(capacity["clips"]))
    if "full_pass" not in capacity:
        return _AT_LEAST
    most = min(int(capacity["fit"]), int(capacity["running"]) + int(capacity["waiting"]))
    return max(1, min(most, max(_AT_LEAST, _JOBS_PER_REQUEST * int(capacity["full_pass"]))))
