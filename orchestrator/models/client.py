"""The client of one model: requests that wait while it is full or away, and run at one of its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, asynccontextmanager
from typing import Any, TypeVar

import numpy as np

from intarsia.errors import Busy, IntarsiaError, ModelDown, NotReady
from orchestrator.deadline import Deadline
from orchestrator.models.admission import ModelQueue, Waiter, WaitLimits
from orchestrator.models.weights import WeightsRef
from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.endpoints import Affinity, Endpoints
from orchestrator.triton.errors import model_reason
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import Tensors

T = TypeVar("T")

# A model that can be reached sends its facts within this many seconds.
_FACTS_SECONDS = 20.0


class Unsuitable(Exception):
    """Raised by an operation at an endpoint that cannot run it. If no other can, `error` is raised."""

    def __init__(self, error: IntarsiaError) -> None:
        super().__init__(error.message)
        self.error = error


class ModelClient:
    """Requests to one model, wherever it is served."""

    def __init__(self, endpoints: Endpoints, queue: ModelQueue, *, fields: Mapping[str, str]) -> None:
        """`fields` maps each tensor to the field of a request that it came from, for error messages."""
        self.endpoints, self._queue = endpoints, queue
        endpoints.fields, endpoints.on_available = fields, queue.notify

    @property
    def name(self) -> str:
        return self.endpoints.model

    async def facts(
        self, affinity: Affinity | None = None, weights: WeightsRef | None = None, *, waits: bool = True
    ) -> Mapping[str, Any]:
        """The facts that the model publishes about itself, from any of its endpoints, or from that of the
        affinity; with `weights`, from one that has them. Unless it `waits`, raises at once if the model is
        full or away."""
        deadline = Deadline.after(_FACTS_SECONDS + self._queue.limits.away)
        return await self.run(
            lambda lease: lease.facts(deadline=deadline),
            deadline=deadline,
            affinity=affinity,
            weights=weights,
            work=0.0,
            waits=waits,
        )

    def is_known(self, key: bytes) -> bool:
        """True if a picture or an adapter was sent to any endpoint lately."""
        return any(key in endpoint.known for endpoint in self.endpoints.current)

    async def infer(
        self,
        inputs: Tensors,
        *,
        deadline: Deadline,
        affinity: Affinity | None = None,
        weights: WeightsRef | None = None,
        work: float = 1.0,
    ) -> dict[str, np.ndarray]:
        """The reply to a unary request, made by `weights` if they are given."""
        if weights is not None:
            inputs = {**inputs, **weights.inputs()}
        return await self.run(
            lambda lease: lease.infer(inputs, deadline=deadline),
            deadline=deadline,
            affinity=affinity,
            weights=weights,
            work=work,
        )

    async def run(
        self,
        operation: Callable[[Lease], Awaitable[T]],
        *,
        deadline: Deadline,
        affinity: Affinity | None = None,
        weights: WeightsRef | None = None,
        work: float = 1.0,
        waits: bool = True,
    ) -> T:
        """Runs an operation at one endpoint: all of its requests go there.

        With `weights`, at one that has them by its facts; an operation whose requests name them ends at one
        that refuses them after all. ModelDown if no endpoint has them by now.

        While no stream of it has answered, it is run again if the endpoint is full or down: at another one,
        or later; if it is `Unsuitable`, at another one only, which may be full now. What breaks after a
        stream has answered is not started again here: its progress was reported already.
        """
        limits = self._queue.limits if waits else WaitLimits(full=0.0, away=0.0)
        waiter, tried, busy = Waiter(self._queue, limits, deadline), set[Endpoint](), None
        while True:
            async with self._leased(waiter, affinity, tried, work) as lease:
                refusal: Busy | ModelDown | Unsuitable | None = None
                try:
                    return await _run_with(weights, operation, lease, deadline)
                except (Busy, ModelDown, Unsuitable) as error:
                    if lease.begun:
                        raise
                    refusal = error
                except NotReady as error:
                    refusal = Unsuitable(error)
                finally:
                    if refusal is None:
                        self._queue.notify()
            if isinstance(refusal, Busy):
                busy = refusal
            pinned = affinity is not None and affinity.pinned and isinstance(refusal, Busy)
            tried.add(lease.endpoint)
            if self.endpoints.available(tried) and not pinned:
                continue
            if isinstance(refusal, Unsuitable):
                if busy is None:
                    raise refusal.error  # waiting would not help
                refusal = busy  # one that is only full may be suitable
            tried.clear()
            busy = None
            await waiter.wait(refusal)

    @asynccontextmanager
    async def lease(
        self, *, deadline: Deadline, affinity: Affinity | None = None, work: float = 1.0
    ) -> AsyncIterator[Lease]:
        """Leases one endpoint for requests that come one after the other. Waits while none is available."""
        async with self._leased(
            Waiter(self._queue, self._queue.limits, deadline), affinity, frozenset(), work
        ) as lease:
            yield lease

    @asynccontextmanager
    async def _leased(
        self, waiter: Waiter, affinity: Affinity | None, avoid: AbstractSet[Endpoint], work: float
    ) -> AsyncIterator[Lease]:
        with ExitStack() as stack:
            while True:
                leased = self.endpoints.lease(affinity=affinity, avoid=avoid, work=work)
                try:
                    lease = stack.enter_context(leased)
                    break
                except ModelDown as error:
                    if not await self.endpoints.probed(waiter.deadline, avoid):
                        await waiter.wait(error)
            yield lease


async def _run_with(
    weights: WeightsRef | None, operation: Callable[[Lease], Awaitable[T]], lease: Lease, deadline: Deadline
) -> T:
    """Runs an operation at the leased endpoint; `Unsuitable` if it has other weights."""
    if weights is None:
        return await operation(lease)
    model = lease.endpoint.model
    unsuitable = Unsuitable(
        ModelDown(
            f"{model} was loaded with other weights after this request was accepted; "
            "send it again with a new request id",
            model=model,
        )
    )
    if not weights.are_those_of(await lease.facts(deadline=deadline)):
        raise unsuitable
    try:
        return await operation(lease)
    except IntarsiaError as error:
        if model_reason(error) != "OTHER_WEIGHTS":
            raise
        lease.endpoint.forget_facts()  # the weights changed since they were read
        raise unsuitable from None
