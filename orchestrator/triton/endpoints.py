"""The endpoints of one model: which of them gets the next request.

The one with the least unfinished work does; of several that have nearly as little, the one that received the
least lately, so that equal endpoints do equal work. One that failed gets nothing until a probe has succeeded,
and one that was removed from the list finishes what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from intarsia.errors import IntarsiaError, ModelDown, TimeLimit
from orchestrator import metrics
from orchestrator.deadline import Deadline
from orchestrator.triton.breaker import BreakerState
from orchestrator.triton.connection import Connections
from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.lease import Lease
from orchestrator.triton.stall import StallLimits

# A model answers a probe, which asks for its facts, within this many seconds or counts as down.
_PROBE_SECONDS = 20.0
# Unfinished work changes in bursts: requests that share passes end together. So many times the least counts
# as nearly as little, and with every lease of the model this share of what was received is remembered.
_NEARLY, _REMEMBERED = 1.5, 0.95


@dataclass
class Affinity:
    """The endpoint that requests which belong together go to, while it can be used. None until the first."""

    endpoint: Endpoint | None = None
    pinned: bool = False  # whether it is worth waiting for while it is full: it remembers the requests before


class Endpoints:
    """All endpoints of one model."""

    def __init__(
        self,
        model: str,
        urls: Sequence[str],
        connections: Connections,
        limits: StallLimits,
        *,
        decoupled: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`decoupled` models can only be streamed. `clock` drives breakers and the age of facts."""
        self.model = model
        self._connections, self._limits, self._decoupled, self._clock = connections, limits, decoupled, clock
        self._endpoints: dict[str, Endpoint] = {}
        self._removed: dict[str, Endpoint] = {}  # those that still have something to finish
        self._probes: dict[asyncio.Task[None], Endpoint] = {}  # those under way
        self.fields: Mapping[str, str] = {}  # of requests, by the tensors that are made from them
        self.on_available: Callable[[], None] = lambda: None  # called when an endpoint becomes usable
        self.on_change: Callable[[], None] = lambda: None  # called when the list, or any on it, has changed
        self.set_addresses(urls)

    @property
    def current(self) -> tuple[Endpoint, ...]:
        """The endpoints that are on the list of addresses."""
        return tuple(self._endpoints.values())

    @property
    def usable(self) -> tuple[Endpoint, ...]:
        """The endpoints on the list that requests can be sent to now."""
        return tuple(self._candidates(frozenset()))

    def set_addresses(self, urls: Sequence[str]) -> None:
        """Replaces the list of addresses, `host:port`. What a removed endpoint has begun it finishes."""
        for url in [url for url in self._endpoints if url not in urls]:
            self._removed[url] = self._endpoints.pop(url)
            self._discard_if_idle(self._removed[url])
        for url in urls:
            if url not in self._endpoints:
                self._endpoints[url] = self._take_back(url) or self._opened(url)
        self.on_available()
        self.on_change()

    def available(self, avoid: AbstractSet[Endpoint] = frozenset()) -> bool:
        """True if a request that avoids some endpoints can be sent now."""
        return bool(self._candidates(avoid))

    async def probed(self, deadline: Deadline, avoid: AbstractSet[Endpoint] = frozenset()) -> bool:
        """Waits for the probes that are under way, until a request that avoids some endpoints can be sent;
        False if none can be sent after the last probe."""
        pending = set(self._probes)
        while pending and not self.available(avoid):
            _, pending = await asyncio.wait(
                pending, timeout=deadline.remaining(), return_when=asyncio.FIRST_COMPLETED
            )
        return self.available(avoid)

    @contextmanager
    def lease(
        self,
        *,
        affinity: Affinity | None = None,
        avoid: AbstractSet[Endpoint] = frozenset(),
        work: float = 1.0,
    ) -> Iterator[Lease]:
        """Leases the endpoint that is chosen for so much work; ModelDown if there is none to choose.

        With an `affinity`, the endpoint that was chosen first is chosen again while it can be used; also
        one that was removed since, as long as another lease of it is open.
        """
        self._probe_failed()
        endpoint = affinity.endpoint if affinity is not None else None
        if endpoint is None or endpoint in avoid or not self._usable(endpoint):
            candidates = self._candidates(avoid)
            if not candidates:
                raise self._unavailable()
            endpoint = _choose(candidates)
        if affinity is not None:
            affinity.endpoint = endpoint
        if work:
            for one in self._endpoints.values():
                one.received *= _REMEMBERED
            endpoint.received += work
        lease = Lease(endpoint, work, self.fields)
        endpoint.leases.add(lease)
        try:
            yield lease
        finally:
            endpoint.leases.discard(lease)
            self._discard_if_idle(endpoint)

    async def close(self) -> None:
        """Ends the probes that are under way."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _changed(self) -> None:
        self.on_change()

    def _candidates(self, avoid: AbstractSet[Endpoint]) -> list[Endpoint]:
        return [one for one in self._endpoints.values() if self._usable(one) and one not in avoid]

    def _usable(self, endpoint: Endpoint) -> bool:
        there = endpoint in (self._endpoints.get(endpoint.url), self._removed.get(endpoint.url))
        return there and endpoint.breaker.state is BreakerState.CLOSED

    def _unavailable(self) -> ModelDown:
        """The latest reason why no endpoint can be used."""
        errors = [one.breaker.error for one in self._endpoints.values() if one.breaker.error is not None]
        if not errors:
            return ModelDown(f"no address is configured for {self.model}", model=self.model)
        return ModelDown(errors[-1].message, **errors[-1].facts)

    def _take_back(self, url: str) -> Endpoint | None:
        """The removed endpoint of this address, if it is still there."""
        return self._removed.pop(url) if url in self._removed else None

    def _opened(self, url: str) -> Endpoint:
        connection = self._connections.acquire(url)
        endpoint = Endpoint(
            self.model, connection, self._limits, decoupled=self._decoupled, clock=self._clock
        )
        endpoint.on_change = self._changed
        self._join(endpoint)
        return endpoint

    def _join(self, endpoint: Endpoint) -> None:
        """Puts an endpoint that was not used so far on a level with the one that received the least, so that
        it does not receive all the work until it has caught up."""
        others = (one.received for one in self._endpoints.values() if one is not endpoint)
        endpoint.received = min(others, default=0.0)

    def _discard_if_idle(self, endpoint: Endpoint) -> None:
        if not endpoint.leases and self._removed.get(endpoint.url) is endpoint:
            del self._removed[endpoint.url]
            for task, probed_endpoint in self._probes.items():
                if probed_endpoint is endpoint:
                    task.cancel()  # its result would bring the gauges back
            self._connections.release(endpoint.url)
            for gauge in (metrics.MODEL_REQUESTS_OPEN, metrics.MODEL_BREAKER):
                with suppress(KeyError):
                    gauge.remove(self.model, endpoint.url)

    def _probe_failed(self) -> None:
        """Starts a probe of every endpoint whose breaker is half-open. Requests do not wait for probes."""
        for endpoint in self._endpoints.values():
            if probe := endpoint.breaker.start_probe():
                endpoint.report()
                task = asyncio.ensure_future(self._probe(endpoint, probe))
                self._probes[task] = endpoint
                task.add_done_callback(self._probes.pop)

    async def _probe(self, endpoint: Endpoint, probe: int) -> None:
        try:
            await endpoint.facts(deadline=Deadline.after(_PROBE_SECONDS))
        except ModelDown as error:
            endpoint.fail_probe(probe, error)
            return
        except TimeLimit:
            silent = f"{self.model} does not answer; try again in a moment"
            endpoint.fail_probe(probe, ModelDown(silent, model=self.model))
            return
        except IntarsiaError:
            endpoint.succeed()  # it refused, so it is there
        finally:
            endpoint.breaker.abandon_probe(probe)
        self._join(endpoint)
        self.on_available()


def _choose(candidates: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that gets the next work."""
    unfinished = {one: one.unfinished for one in candidates}
    nearly = _NEARLY * min(unfinished.values())
    return min((one for one in candidates if unfinished[one] <= nearly), key=lambda one: one.received)
